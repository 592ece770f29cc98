"""What a real receiver tells Prometheus, over all its processes."""

import json
import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from receiver import meters

from ..test_metrics import TOKEN, samples
from .conftest import Process, Server, deliver, free_port, job, until


def scraped(url, **headers):
    return samples(httpx.get(f"{url}/metrics", headers=headers).raise_for_status().text)


#: What Prometheus sees of a metric of each type. The text format tells a counter with its ending.
ENDINGS = {"gauge": [""], "counter": [""], "histogram": ["_bucket", "_sum", "_count"]}


@pytest.fixture
def server_with_token(tmp_path):
    with Server(tmp_path, RECEIVER_ADMIN_TOKEN=TOKEN) as server:
        yield server.ready()


def worker_of(server):
    [pid] = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(pid)


def test_what_a_worker_counted_outlives_it(tmp_path):
    with Server(tmp_path, RECEIVER_ADMIN_TOKEN=TOKEN).ready() as server:

        def done():
            told = scraped(server.url, authorization=f"Bearer {TOKEN}")
            return told.get(("receiver_attempts_total", "witness", "done"), 0)

        for number in range(3):
            deliver(server.url, job(number), id=f"msg_{number}")
        until(lambda: done() == 3, "three attempts are told")
        first = worker_of(server)
        os.kill(first, signal.SIGKILL)
        until(lambda: "worker_died" in server.log.read_text(), "the worker is gone")
        assert done() == 3
        deliver(server.url, job(4), id="msg_4")
        until(lambda: done() == 4, "the next worker goes on counting")
        assert worker_of(server) != first


def test_the_grafana_dashboard_names_only_what_a_receiver_tells(server_with_token):
    deliver(server_with_token.url, job(1), id="msg_1")
    deliver(server_with_token.url, job(1), id="msg_1")
    httpx.post(f"{server_with_token.url}/webhooks/stranger", content=b"{}")
    until(server_with_token.handled, "handled")
    headers = {"authorization": f"Bearer {TOKEN}"}
    text = httpx.get(f"{server_with_token.url}/metrics", headers=headers).text
    kinds = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    told = {name + end for name, kind in kinds.items() for end in ENDINGS[kind]}
    labels = {label for meter in meters.ALL for label in meter.labels} | {
        "le",
        "job",
        "handler",
        "source",
        "state",
        "watch",
        "about",
    }

    dashboard = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = {name for target in targets for name in re.findall(r"\breceiver_\w+", target["expr"])}
    assert named <= told
    by = {
        label.strip()
        for target in targets
        for group in (*re.findall(r"by \(([^)]*)\)", target["expr"]), *re.findall(r"{{(\w+)}}", target["legendFormat"]))
        for label in group.split(",")
    }
    assert by <= labels
    # What is counted and not shown would be noticed by nobody.
    assert {re.sub("_(total|bucket|sum|count)$", "", name) for name in named} >= {meter.name for meter in meters.ALL}


def test_a_worker_alone_tells_on_a_port_of_its_own(tmp_path):
    port = free_port()
    with Server(tmp_path, "--no-dispatch").ready() as server:
        environment = {
            "RECEIVER_DATABASE_URL": f"sqlite:///{tmp_path / 'receiver.db'}",
            "WITNESS": str(server.witness),
            "RECEIVER_METRICS_PORT": str(port),
        }
        with Process(tmp_path, "worker", **environment):
            deliver(server.url, job(1), id="msg_1")
            until(server.handled, "handled")
            url = f"http://127.0.0.1:{port}"
            until(lambda: scraped(url).get(("receiver_attempts_total", "witness", "done")) == 1, "told")
            until(lambda: ("receiver_loop_lag_seconds_count", "worker") in scraped(url), "the loop's lag is told")
