"""What the store's tests are made of."""

from collections.abc import Callable

import pytest

from receiver.store import Arrival, Finished

from ..conftest import Clock


@pytest.fixture
def arrival(clock: Clock) -> Callable[..., Arrival]:
    """Make an arrival: `arrival(1)`, `arrival(1, fact="job:succeeded")`."""

    def make(number: int = 1, **changes: object) -> Arrival:
        values: dict[str, object] = {
            "source": "videogen",
            "type": "tool_execution.succeeded",
            "kind": "job.succeeded",
            "job_id": f"job_{number}",
            "tool": "GENERATE_SOUND_EFFECT",
            "road": "webhook",
            "received_at": clock(),
            "occurred_at": clock() - 1,
            "headers": "{}",
            "body": b'{"event": "tool_execution.succeeded"}',
            "message_id": f"msg_{number}",
            "fact": f"job_{number}:succeeded",
        }
        return Arrival(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def handle(store, clock):
    """Let one turn of a worker end everything that waits, one outcome for each handler."""

    async def turn(**outcomes):
        common = {
            "worker": "w",
            "lease": 30,
            "wanted": lambda _event: dict.fromkeys(outcomes),
            "free": dict.fromkeys(outcomes, 50),
        }
        claimed = (await store.runs.turn(**common, finished=[])).claimed
        clock.turn(2)
        finished = [
            Finished(run=run, outcome=outcomes[run.handler], finished_at=clock(), error=None, wait=None)
            for run in claimed
            if outcomes[run.handler] in ("done", "failed")
        ]
        await store.runs.turn(**common | {"free": {}}, finished=finished)

    return turn
