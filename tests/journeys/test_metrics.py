"""What a real receiver tells Prometheus, over all its processes."""

import os
import signal
from pathlib import Path

import httpx

from ..test_metrics import TOKEN, samples
from .conftest import Process, Server, deliver, free_port, job, until


def scraped(url, **headers):
    return samples(httpx.get(f"{url}/metrics", headers=headers).raise_for_status().text)


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
            assert ("receiver_loop_lag_seconds_count", "worker") in scraped(url)
