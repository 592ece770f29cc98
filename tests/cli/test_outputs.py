import asyncio
import json
import os
import time

import pytest

from receiver.store import Arrival, Store


@pytest.fixture
def filled(environment):
    """One output captured, one missed, and a run that is late for a third."""

    async def fill():
        store = Store(os.environ["RECEIVER_DATABASE_URL"])
        of = {"handler": "download", "source": "videogen", "job_id": "vg_tool_1"}
        place = {"place": "files/a.mp4", "size": 3, "sha256": "ab", "media_type": "video/mp4"}
        await store.outputs.record(event_id="evt_1", output_id="a", **of, state="captured", **place)
        await store.outputs.record(event_id="evt_1", output_id="b", **of, state="missed", error="it came empty")
        now = time.time()
        late = Arrival(
            source="videogen",
            type="tool_execution.succeeded",
            road="webhook",
            received_at=now,
            occurred_at=now,
            expires_at=now + 600,
            job_id="vg_tool_2",
            headers="",
            body=b"{}",
        )
        await store.events.add([late])
        await store.runs.turn(
            worker="w", lease=30, finished=[], wanted=lambda _: {"download": None}, free={}, captures=("download",)
        )
        await store.close()

    asyncio.run(fill())


def test_outputs_are_listed_with_their_place_or_the_reason(run, filled):
    printed = run("outputs", "list").out
    assert "files/a.mp4" in printed
    assert "it came empty" in printed
    [missed] = [json.loads(line) for line in run("outputs", "list", "--state", "missed", "--json").out.splitlines()]
    assert (missed["output_id"], missed["place"]) == ("b", None)


def test_late_runs_are_listed_as_far_ahead_as_asked_for(run, filled):
    [late] = [json.loads(line) for line in run("outputs", "expiring", "--json").out.splitlines()]
    assert (late["job_id"], late["handler"], late["state"]) == ("vg_tool_2", "download", "waiting")
    assert run("outputs", "expiring", "--within", "60s").out.strip() == "None."
