"""Jobs at all three providers, over sockets: from the wish to the handled event and the file."""

import json
import signal

import httpx
import pytest

from .conftest import PATIENCE, Process, query, until
from .world import World

WISHES = {
    "videogen": ("generate-sound-effect", {"prompt": "rain", "durationSeconds": 1}),
    "finevoice": ("sfx-generation", {"prompt": "rain", "duration": 1}),
    "videogenapi": ("text-to-video", {"prompt": "a boat"}),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One world for the tests that do not mind each other's jobs."""
    folder = tmp_path_factory.mktemp("jobs")
    made = World(folder, handlers="handlers,handlers.download,handlers.talking_avatar")
    made.register()
    yield made
    made.end()


def ended(here, jobs):
    """Wait until jobs have ended, are handled, and their files are kept; return them as applications see them."""
    ids = {job["id"] for job in jobs}
    until(lambda: {job["state"] for id, job in here.jobs().items() if id in ids} == {"succeeded"}, "all succeed")
    names = {here.jobs()[id]["job_id"] for id in ids}
    until(lambda: names <= {row[2] for row in here.server.handled()}, "every event is handled")
    until(lambda: names <= {record["job_id"] for record in here.files()}, "every file is kept")
    assert sorted(row[2] for row in here.server.handled() if row[2] in names) == sorted(names)
    return [here.job(id) for id in ids]


def test_one_handler_gets_the_jobs_of_all_providers_and_their_files_are_kept(here):
    for job in ended(here, [here.submit(source, *wish, who=source) for source, wish in WISHES.items()]):
        assert job["metadata"] == {"who": job["source"]}
        assert len(job["outputs"]) == 1
        [record] = [record for record in here.files() if record["job_id"] == job["job_id"]]
        assert record["media_type"] == ("video/mp4" if job["source"] == "videogenapi" else "audio/wav")
    assert set(query(here.folder, "SELECT source, road FROM events")) >= {
        ("videogen", "webhook"),
        ("finevoice", "poll"),
        ("videogenapi", "poll"),
    }


def test_a_chain_goes_from_speech_to_avatar_with_the_metadata_all_along(here):
    voices = here.sdk.resources.list_tts_voices()["tts_voices"]
    voice = next(one["voice_id"] for one in voices if one["supports_direct_tool_execution"])
    speech = {"ttsText": "Hello", "voiceId": voice}
    ended(here, [here.submit("videogen", "text-to-speech", speech, actor="vg_enti_emulator", order=42)])

    def avatars():
        return [job for job in here.jobs().values() if job["tool"] == "GENERATE_AVATAR"]

    until(avatars, "the avatar is submitted")
    [avatar] = ended(here, avatars())
    assert avatar["metadata"]["order"] == 42
    assert avatar["run_id"].startswith("run_")


def test_a_person_submits_and_waits_by_command(here):
    shown = here.run("jobs", "submit", "videogenapi", "text-to-video", 'prompt="a boat"', "--meta", "a=1", "--wait")
    assert shown.returncode == 0, shown.stderr
    assert "succeeded" in shown.stdout
    assert "/api/v1/video/gen_" in shown.stdout


def test_an_application_submits_waits_and_watches_over_http(here):
    headers = {"authorization": f"Bearer {here.environment['RECEIVER_ADMIN_TOKEN']}"}
    wish = {"source": "finevoice", "tool": "sfx-generation", "parameters": {"prompt": "rain"}, "metadata": {"a": 1}}
    with httpx.Client(base_url=f"{here.server.url}/api/v1", headers=headers, timeout=PATIENCE) as client:
        job = client.post("/jobs", json=wish).json()
        with client.stream("GET", f"/jobs/{job['id']}/events") as answer:
            told = [json.loads(line[6:])["state"] for line in answer.iter_lines() if line.startswith("data: ")]
        assert (told[0], told[-1]) == ("waiting", "succeeded")
        job = client.get(f"/jobs/{job['id']}?wait=10").json()
    assert (job["state"], job["metadata"], len(job["outputs"])) == ("succeeded", {"a": 1}, 1)


def test_two_workers_share_the_jobs_and_none_is_sent_or_handled_twice(here):
    before = len(here.sdk.tools.list_tool_executions()["tool_executions"])
    with Process(here.folder, "worker", **here.environment, WITNESS=str(here.server.witness)):
        ended(here, [here.submit(source, *wish, number=at) for at in range(4) for source, wish in WISHES.items()])
    assert len(here.sdk.tools.list_tool_executions()["tool_executions"]) == before + 4


def test_with_every_webhook_lost_and_the_receiver_killed_every_job_still_ends_and_the_loss_is_counted(world):
    here = world(loss="1", seconds="0.5")
    jobs = [here.submit(source, *wish) for source, wish in WISHES.items()]
    elsewhere = here.sdk.tools.generate_music(prompt="from elsewhere")["tool_execution_id"]
    until(lambda: all(job["job_id"] for job in here.jobs().values()), "every job is taken")
    here.server.end(signal.SIGKILL)
    tracked = here.run("jobs", "track", "videogen", elsewhere, "--tool", "generate-music", "--json")
    here.serve()
    here.server.ready()
    ended(here, [*jobs, json.loads(tracked.stdout)])
    assert dict(query(here.folder, "SELECT road, count(*) FROM events GROUP BY road")) == {"reconcile": 2, "poll": 2}
    assert json.loads(here.run("jobs", "recovered", "--json").stdout) == {"source": "videogen", "recovered": 2}
    # By its event alone nobody can tell that it did not come by itself.
    assert {row[1] for row in here.server.handled() if row[2] == elsewhere} == {"tool_execution.succeeded"}
