import asyncio
import io
import json
import re

import pytest

from receiver.store import Arrival, Store
from receiver.vault import new_key

SOUND = ("videogen", "generate-sound-effect", "prompt=rain")


def told(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def end(tmp_path, job_id, standing="succeeded"):
    async def work():
        store = Store(f"sqlite:///{tmp_path / 'receiver.db'}")
        url = "https://x.example/f.wav?sig=secret"
        body = {
            "event": f"tool_execution.{standing}",
            "toolExecutionId": job_id,
            "results": [{"fileId": "f1", "type": "AUDIO", "downloadUrl": url}],
            "error": {"message": "out of tune", "code": "tune"} if standing == "failed" else None,
        }
        arrival = Arrival(
            source="videogen",
            type=body["event"],
            kind=f"job.{standing}",
            job_id=job_id,
            tool="GENERATE_SOUND_EFFECT",
            road="webhook",
            received_at=1.0,
            occurred_at=1.0,
            fact=f"{job_id}:{standing}",
            headers="",
            body=json.dumps(body).encode(),
        )
        await store.events.add([arrival])
        await store.runs.turn(worker="w", lease=9, finished=[], wanted=lambda row: {}, free={})
        await store.close()

    asyncio.run(work())


def test_a_submitted_job_waits_in_the_ledger_with_what_was_said(run):
    ended = run("jobs", "submit", *SOUND, "durationSeconds=2.5", "--meta", "order=42", "--meta", "who=Ann", "--json")
    [job] = told(ended)
    assert (job["state"], job["tool"]) == ("waiting", "GENERATE_SOUND_EFFECT")
    assert job["parameters"] == {"prompt": "rain", "durationSeconds": 2.5}
    assert job["metadata"] == {"order": 42, "who": "Ann"}
    assert told(run("jobs", "list", "--json")) == [job]
    assert job["id"] in run("jobs", "list", "--state", "open").out
    assert run("jobs", "list", "--state", "failed").out.strip() == "No jobs."


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("videogen", "generate-sound-effect"), 2, "prompt: Field required"),
        (("videogen", "dance"), 2, "has no tool dance: there are generate-image"),
        (("nobody", "dance"), 2, "finevoice, videogen, videogenapi"),
        (("videogen", "generate-music", "prompt"), 2, "write NAME=VALUE"),
    ],
)
def test_a_job_that_cannot_be_meant_is_refused_with_the_reason(run, arguments, code, text):
    ended = run("jobs", "submit", *arguments)
    assert ended.code == code
    assert text in " ".join(ended.err.split())


def test_a_job_from_elsewhere_is_tracked_once_and_waited_for(run, tmp_path):
    [job] = told(run("jobs", "track", "videogen", "vg_tool_1", "--tool", "generate-sound-effect", "--json"))
    assert (job["state"], job["job_id"], job["tool"]) == ("submitted", "vg_tool_1", "GENERATE_SOUND_EFFECT")
    assert told(run("jobs", "track", "videogen", "vg_tool_1", "--json"))[0]["id"] == job["id"]
    assert re.search(r"^usual +\d+ s$", run("jobs", "show", "vg_tool_1").out, re.MULTILINE)
    end(tmp_path, "vg_tool_1")
    ended = run("jobs", "wait", "vg_tool_1")
    assert ended.code == 0
    assert "AUDIO f1  https://x.example/f.wav?[redacted]" in ended.out
    assert "secret" not in ended.out
    assert told(run("jobs", "show", job["id"], "--json"))[0]["outputs"][0]["url"].endswith("sig=secret")


def test_waiting_for_a_job_that_fails_ends_with_1_and_the_reason(run, tmp_path):
    run("jobs", "track", "videogen", "vg_tool_2")
    end(tmp_path, "vg_tool_2", "failed")
    ended = run("jobs", "wait", "vg_tool_2")
    assert ended.code == 1
    assert "out of tune tune" in ended.out


def test_a_job_is_cancelled_unless_it_has_ended_or_never_was(run, tmp_path):
    run("jobs", "track", "videogen", "vg_tool_3")
    assert run("jobs", "cancel", "vg_tool_3").code == 0
    end(tmp_path, "vg_tool_3")
    assert "has succeeded already" in run("jobs", "cancel", "vg_tool_3").err
    assert "no job has this id" in run("jobs", "cancel", "nothing").err


def test_a_source_or_tool_that_nobody_knows_cannot_be_tracked(run):
    assert run("jobs", "track", "nobody", "x").code == 2
    assert run("jobs", "track", "videogen", "x", "--tool", "dance").code == 2


def test_what_webhooks_lost_is_counted(run):
    assert run("jobs", "recovered").out.strip() == "None: every webhook came."


def test_sources_that_do_not_call_have_nothing_to_register(run):
    ended = run("--source", "finevoice", "--url", "https://x.example/webhooks/finevoice", command="register-webhook")
    assert ended.code == 2
    assert "finevoice sends no webhooks" in " ".join(ended.err.split())


def test_a_provider_whose_api_is_not_known_is_registered_by_hand(run):
    ended = run("--source", "mux", "--url", "https://x.example/webhooks/mux", command="register-webhook")
    assert ended.code == 2
    assert "put the secret it gives you into MUX_WEBHOOK_SECRET" in " ".join(ended.err.split())


def test_a_url_to_call_back_at_is_printed_for_a_provider_that_signs_nothing(run, monkeypatch):
    assert "only a source that is asked" in run("jobs", "expect", "luma").err
    for name, value in {
        "LUMA_STATUS_URL": "https://luma.example/{job}",
        "LUMA_API_KEY": "k",
        "RECEIVER_SECRET_KEY": new_key(),
    }.items():
        monkeypatch.setenv(name, value)
    assert "RECEIVER_PUBLIC_URL is not set" in run("jobs", "expect", "luma").err
    monkeypatch.setenv("RECEIVER_PUBLIC_URL", "https://hooks.example.com")
    url = run("jobs", "expect", "luma", "--meta", "order=7").out.strip()
    (job,) = told(run("jobs", "list", "--json"))
    assert url.startswith(f"https://hooks.example.com/webhooks/luma/{job['id']}.")
    assert (job["state"], job["metadata"]) == ("submitted", {"order": 7})
    monkeypatch.setattr("sys.stdin", io.StringIO("kR7mW2pX9qL4vN8tB3zY"))
    assert "signs nothing" in run("secrets", "add", "luma").err
