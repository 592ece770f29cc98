"""A broker named in `receiver.toml` gets what a provider told."""

import json

import redis

from .. import brokers
from .conftest import Server, deliver, job, query, until


def test_what_comes_in_while_the_broker_is_away_is_published_when_it_is_back(tmp_path):
    (tmp_path / "redis").mkdir()
    broker = brokers.redis(tmp_path / "redis")
    (tmp_path / "receiver.toml").write_text(
        '[[handlers]]\nuse = "publish"\non = "job.*"\nto = "media.{kind}"\nurl = { env = "BROKER" }\n'
    )
    try:
        with Server(tmp_path, BROKER=f"redis://127.0.0.1:{broker.port}").ready() as server:
            answer = deliver(server.url, job(1), id="msg_1")
            until(lambda: query(tmp_path, "SELECT 1 FROM attempts WHERE outcome = 'retry'"), "tried")
            broker.start()
            until(lambda: query(tmp_path, "SELECT 1 FROM runs WHERE handler = 'publish' AND state = 'done'"), "done")
            assert server.end() == 0
        with redis.Redis(port=broker.port, decode_responses=True) as client:
            [(_, fields)] = client.xrange("media.job.succeeded")
    finally:
        broker.kill()
    assert fields["id"] == answer.json()["event"]
    assert json.loads(fields["__data__"])["job_id"] == "vg_tool_1"
