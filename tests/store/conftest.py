"""What the store's tests are made of."""

from collections.abc import Callable

import pytest

from receiver.store import Arrival

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
