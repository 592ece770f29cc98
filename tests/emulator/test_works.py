from receiver.emulator.works import RUN

from .conftest import Emulator, Start

EVENTS = ["workflow_run.succeeded", "workflow_run.failed", "project_export.succeeded", "assistant_message.succeeded"]


async def test_ends_are_told_with_the_fields_of_their_sort(emulator: Emulator) -> None:
    await emulator.register(events=EVENTS)
    run = (await emulator.client.post("/v1/workflows/script-to-video", json={})).json()
    await emulator.client.post(f"/v1/projects/{run['projectId']}/export", json={})
    await emulator.client.post("/v1/assistants", json={"prompt": "a"})
    await emulator.videogen.settled()
    told = {body["event"]: set(body) for body in emulator.inbox.bodies}
    assert told == {
        "workflow_run.succeeded": {
            "event", "workflowRunId", "occurredAt", "workflowType", "projectId", "projectUrl", "error"
        },
        "project_export.succeeded": {"event", "exportId", "occurredAt", "projectId", "exportFileId"},
        "assistant_message.succeeded": {"event", "messageId", "occurredAt", "message"},
    }  # fmt: skip


async def test_a_job_can_be_made_to_end_twice_differently(emulator: Emulator) -> None:
    await emulator.register(events=EVENTS)
    await emulator.client.post("/v1/workflows/script-to-video", json={})
    await emulator.videogen.settled()
    (run,) = emulator.videogen.works.of(RUN).values()
    emulator.videogen.works.end(run, "failed")
    await emulator.videogen.settled()
    assert [body["event"] for body in emulator.inbox.bodies] == ["workflow_run.succeeded", "workflow_run.failed"]


async def test_a_job_can_be_made_to_wait_for_approval(start: Start) -> None:
    async with start(seconds=0.05) as emulator:
        started = (await emulator.client.post("/v1/workflows/script-to-video", json={})).json()
        emulator.videogen.works.all[started["workflowRunId"]].status = "awaiting_approval"
        await emulator.videogen.settled()
        run = await emulator.get(f"/v1/workflows/runs/{started['workflowRunId']}")
        assert run["status"] == "awaiting_approval"


async def test_a_failed_job_says_why(start: Start) -> None:
    async with start(fail=1) as emulator:
        started = (await emulator.client.post("/v1/workflows/script-to-video", json={})).json()
        await emulator.videogen.settled()
        run = await emulator.get(f"/v1/workflows/runs/{started['workflowRunId']}")
        assert (run["status"], run["error"]["code"]) == ("failed", "invalid_request")
