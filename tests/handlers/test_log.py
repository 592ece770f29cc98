"""The handler that logs every event."""

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from handlers.log import log
from receiver import JobError, Output

Make = Callable[..., Any]
URL = "https://storage.example/file?X-Signature=hush"


async def test_each_event_is_one_line(event: Make, context: Make) -> None:
    with capture_logs() as lines:
        await log(event(Output(id="file_1"), road="poll"), context(log=structlog.get_logger()))
    assert lines == [
        {
            "event": "event",
            "log_level": "info",
            "source": "videogen",
            "type": "tool_execution.succeeded",
            "kind": "job.succeeded",
            "tool": "GENERATE_VIDEO_CLIP",
            "road": "poll",
            "outputs": 1,
        }
    ]


async def test_no_url_is_logged_wherever_the_event_has_one(event: Make, context: Make) -> None:
    told = event(Output(id="1", url=URL), data={"url": URL}, error=JobError(message=URL), metadata={"callback": URL})
    with capture_logs() as lines:
        await log(told, context(log=structlog.get_logger()))
    assert "hush" not in str(lines)
    assert "storage.example" not in str(lines)


@pytest.mark.parametrize("type", ["tool_execution.succeeded", "file.download_ready", "something.new"])
def test_it_wants_every_event(type: str, event: Make) -> None:
    assert log.__receiver_handler__.wants(event(type=type, kind=None, job_id=None, tool=None))
