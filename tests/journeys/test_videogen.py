"""The whole journey over sockets: the official SDK, the emulator, the inbox, the handlers, the files."""

import hashlib
import json
import wave

from .conftest import until


def test_a_job_of_the_official_sdk_ends_as_an_event_and_a_file(world):
    here = world()
    job = here.sdk.tools.generate_sound_effect(prompt="rain", duration_seconds=1)["tool_execution_id"]
    until(here.files, "the file is captured")
    until(lambda: here.runs() == {"done": 3}, "every handler is done")
    [record] = here.files()
    [path] = list(here.folder.glob("files/**/*.wav"))
    assert record["job_id"] == job
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with wave.open(str(path)) as sound:
        assert sound.getnframes() > 0
    [[event, type, job_id, _]] = here.server.handled()
    assert (type, job_id) == ("tool_execution.succeeded", job)
    shown = json.loads(here.run("events", "show", event, "--json").stdout)
    assert shown["data"]["toolExecutionId"] == job


def test_links_that_come_expired_are_signed_anew(world):
    here = world(url_seconds="0")
    here.sdk.tools.generate_image(prompt="a boat", num_results=2)
    until(lambda: len(here.files()) == 2, "both pictures are captured")
    assert {record["media_type"] for record in here.files()} == {"image/png"}


def test_duplicates_disorder_and_wrong_signatures_end_as_one_event_each(world):
    here = world(duplicates="0.5", disorder="0.3", wrong_signature="0.3")
    jobs = {here.sdk.tools.generate_music(prompt=f"{number}")["tool_execution_id"] for number in range(12)}
    until(lambda: {row[2] for row in here.server.handled()} >= jobs, "every job is handled")
    assert sorted(row[2] for row in here.server.handled()) == sorted(jobs)


def test_a_failed_job_is_an_event_too(world):
    here = world(fail="1")
    here.sdk.tools.generate_music(prompt="x")
    until(here.server.handled, "handled")
    assert here.server.handled()[0][1] == "tool_execution.failed"


def test_registering_again_changes_nothing_and_the_secret_is_nowhere_to_be_seen(world):
    here = world()
    again = here.run("register-webhook", "--url", here.webhook)
    assert "nothing to do" in again.stdout
    assert len(here.sdk.webhooks.list_webhook_endpoints()["endpoints"]) == 1
    listed = here.run("endpoints", "list", "--json").stdout
    here.sdk.tools.generate_music(prompt="x")
    until(here.server.handled, "handled")
    for text in (again.stdout, listed, here.server.log.read_text()):
        assert "whsec_" not in text


def test_no_delivery_is_refused_while_the_secret_is_rotated(world):
    here = world()
    [endpoint] = json.loads(f"[{here.run('endpoints', 'list', '--json').stdout.strip()}]")
    jobs = [here.sdk.tools.generate_music(prompt="before")["tool_execution_id"]]
    rotated = here.run("endpoints", "rotate", endpoint["id"])
    assert rotated.returncode == 0, rotated.stderr
    jobs.append(here.sdk.tools.generate_music(prompt="after")["tool_execution_id"])
    until(lambda: {row[2] for row in here.server.handled()} >= set(jobs), "both are handled")
    [now] = json.loads(f"[{here.run('endpoints', 'list', '--json').stdout.strip()}]")
    assert now["id"] != endpoint["id"]
    assert here.run("endpoints", "check").returncode == 0
    assert here.run("events", "refused", "--json").stdout == ""


def test_the_doctor_finds_nothing_wrong_and_then_the_endpoint_that_somebody_deleted(world):
    here = world()
    ended = here.run("doctor")
    assert ended.returncode == 0, ended.stdout
    [endpoint] = here.sdk.webhooks.list_webhook_endpoints()["endpoints"]
    here.sdk.webhooks.delete_webhook_endpoint(endpoint_id=endpoint["endpoint_id"])
    ended = here.run("doctor")
    assert ended.returncode == 1
    assert "wrong endpoints" in ended.stdout
    assert here.run("endpoints", "check").returncode == 1


def test_deleting_an_endpoint_removes_it_at_the_provider(world):
    here = world()
    [endpoint] = here.sdk.webhooks.list_webhook_endpoints()["endpoints"]
    assert here.run("endpoints", "delete", endpoint["endpoint_id"]).returncode == 0
    assert here.sdk.webhooks.list_webhook_endpoints()["endpoints"] == []
