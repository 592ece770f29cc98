"""Signing secrets from a person's hands to the door that counts with them."""

import asyncio
import hashlib
import hmac
import io
import json
import time

import httpx
import pytest
import structlog

from receiver import Signer
from receiver.app import Door
from receiver.settings import load
from receiver.sources.profiles import STANDARD_ED25519
from receiver.store import Store
from receiver.vault import new_key

SECRET = "kR7mW2pX9qL4vN8tB3zY"
OTHER = "aB7cD2eF9gH4iJ8kL3mN"


@pytest.fixture
def add(run, monkeypatch):
    """Store a secret: `add("mux", SECRET, "--until", "36h")`."""
    run("migrate")
    monkeypatch.setenv("RECEIVER_SECRET_KEY", new_key())

    def add(source, secret, *options):
        monkeypatch.setattr("sys.stdin", io.StringIO(secret))
        return run("secrets", "add", source, *options)

    return add


def listed(run, *arguments):
    return [json.loads(line) for line in run("secrets", "list", *arguments, "--json").out.splitlines()]


def test_a_secret_is_stored_listed_by_its_last_four_and_retired_and_never_shown(run, add):
    ended = add("mux", f"{SECRET}\n")
    assert ended.code == 0, ended.err
    (row,) = listed(run)
    assert (row["source"], row["last4"], row["state"], row["place"]) == ("mux", "B3zY", "counts", "stored")
    retired = run("secrets", "retire", row["id"])
    assert "no secret of mux does" in retired.out
    assert listed(run)[0]["state"] == "over"
    shown = run("secrets", "list").out
    assert SECRET not in ended.out + ended.err + shown + retired.out
    assert "B3zY" in shown


def test_several_are_live_at_once_each_from_a_time_and_until_one(run, add):
    assert add("mux", SECRET, "--until", "36h").code == 0
    assert add("mux", OTHER, "--from", "24h").code == 0
    later, now = listed(run, "mux")
    assert (now["last4"], now["state"], later["last4"], later["state"]) == ("B3zY", "counts", "L3mN", "later")
    assert abs(now["valid_until"] - time.time() - 36 * 3600) < 60
    assert run("secrets", "retire", now["id"], "--at", "2100-01-01T00:00Z").code == 0
    assert listed(run, "mux")[1]["valid_until"] == 4102444800


def test_the_same_secret_is_not_stored_twice(run, add):
    add("mux", SECRET)
    again = add("mux", SECRET)
    assert (again.code, "stored already" in again.out, len(listed(run))) == (0, True, 1)


def test_those_in_variables_are_listed_too(run, add, monkeypatch):
    monkeypatch.setenv("MUX_WEBHOOK_SECRET", f"{SECRET},{OTHER}")
    assert [(row["place"], row["last4"]) for row in listed(run)] == [
        ("MUX_WEBHOOK_SECRET", "B3zY"),
        ("MUX_WEBHOOK_SECRET", "L3mN"),
    ]


@pytest.mark.parametrize(
    ("source", "secret", "options", "told"),
    [
        ("mux", "", (), "empty or a placeholder"),
        ("mux", "changeme-changeme-changeme", (), "placeholder"),
        ("mux", SECRET, (SECRET,), "standard input"),
        ("mux", SECRET, ("--until", "soon"), "is no time"),
        ("mux", SECRET, ("--from", "36h", "--until", "24h"), "before it would count"),
        ("standard", "not base64 !", (), "not base64"),
        ("pollo", SECRET, (), "POLLO_WEBHOOK_CONFIRMED=1"),
        ("luma", SECRET, (), "cannot be trusted"),
        ("finevoice", SECRET, (), "sends no webhooks"),
        ("nobody", SECRET, (), "NOBODY_WEBHOOK_SCHEME"),
    ],
)
def test_what_cannot_work_is_told_and_not_stored_and_not_shown(run, add, source, secret, options, told):
    ended = add(source, secret, *options)
    assert ended.code == 2
    assert told in " ".join(ended.err.split())
    assert not secret or secret not in ended.out + ended.err
    assert listed(run) == []


def test_a_secret_that_is_not_there_cannot_be_retired(run, add):
    ended = run("secrets", "retire", "sec_0")
    assert (ended.code, "no stored secret has this id: see `receiver secrets list`" in ended.err) == (1, True)


def test_a_mistake_of_ours_shows_no_secret(run, add, monkeypatch):
    async def mistake(*_arguments, **_more):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("receiver.store.endpoints.Endpoints.add_secret", mistake)
    structlog.reset_defaults()  # as in a process of its own: tracebacks with the values of variables
    ended = add("mux", SECRET)
    assert (ended.code, "a mistake of ours" in ended.err, ended.out) == (1, True, "")
    assert SECRET not in ended.err


def test_without_a_key_to_seal_with_nothing_is_stored(run, add, monkeypatch):
    monkeypatch.delenv("RECEIVER_SECRET_KEY")
    assert "RECEIVER_SECRET_KEY is not set" in " ".join(add("mux", SECRET).err.split())


def test_a_running_door_takes_a_stored_secret_of_a_source_that_no_variable_names(run, add, monkeypatch):
    body = b'{"type": "video.asset.ready", "object": {"id": "j"}}'

    def signed(secret):
        stamp = int(time.time())
        digest = hmac.new(secret.encode(), b"%d.%b" % (stamp, body), hashlib.sha256).hexdigest()
        return {"Mux-Signature": f"t={stamp},v1={digest}"}

    async def journey():
        door = Door(load(), dispatch=False)
        transport = httpx.ASGITransport(door.app)
        async with door.open(), httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
            answers = [(await sender.post("/webhooks/mux", content=body, headers=signed(SECRET))).status_code]
            await asyncio.to_thread(add, "mux", SECRET)
            await asyncio.to_thread(add, "mux", OTHER, "--from", "1h")
            for secret in (SECRET, OTHER):
                answer = await sender.post("/webhooks/mux", content=body, headers=signed(secret))
                answers.append(answer.status_code)
            return answers

    assert asyncio.run(journey()) == [401, 200, 401]


async def test_a_secret_counts_a_little_early_since_clocks_differ_and_not_a_moment_too_long(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'own.db'}")
    await store.migrate()
    await store.endpoints.add_secret("mux", sealed="x", last4="B3zY", valid_from=1000, valid_until=2000)
    counts = {now: len(await store.endpoints.secrets("mux", now=now)) for now in (699, 700, 1999, 2000)}
    assert counts == {699: 0, 700: 1, 1999: 1, 2000: 0}
    await store.close()


def test_a_fresh_secret_signs_and_a_pair_is_one_to_sign_and_one_to_verify(run):
    secret = run("secrets", "signing").out.strip()
    assert Signer(secret).headers(id="evt_1", timestamp=0, body=b"")["webhook-signature"].startswith("v1,")
    private, public = run("secrets", "signing", "--pair").out.split()
    headers = Signer(private).headers(id="evt_1", timestamp=0, body=b"")
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert STANDARD_ED25519.verify(raw, b"", keys=[STANDARD_ED25519.decode_secret(public)], now=0) == "evt_1"
    assert secret != run("secrets", "signing").out.strip()
