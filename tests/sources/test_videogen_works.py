"""VideoGen's client against the emulator: every sort of work from submission to what its event says."""

import pytest

from receiver.sources import find_tool
from receiver.sources.videogen import VideoGen


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("generate-sound-effect", {"prompt": "rain", "durationSeconds": 1}),
        ("script-to-video", {"script": "Once."}),
        ("export-project", {"projectId": "vg_proj_1"}),
        ("remix-project", {"projectId": "vg_proj_1", "remixActions": [{"type": "ENABLE_CAPTIONS"}]}),
        ("timeline-interchange", {"projectId": "vg_proj_1"}),
        ("import-file", {"url": "https://x.example/a.png"}),
        ("assistant-message", {"content": "hello"}),
    ],
)
async def test_every_sort_of_work_goes_from_submission_to_its_end(emulated, name, parameters):
    app, client = await emulated(VideoGen())
    tool = find_tool(VideoGen(), name)
    taken = await client.submit(tool, tool.check(parameters))
    await app.state.videogen.settled()
    answer = await client.ask(taken.job_id, tool, parameters)
    reading = VideoGen().read(answer.body)
    assert (answer.standing, reading.kind, reading.job_id, reading.tool) == (
        "succeeded",
        "job.succeeded",
        taken.job_id,
        tool.type,
    )
