import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import standardwebhooks
import svix
from structlog.testing import capture_logs
from videogen import verify_webhook_signature

from receiver.emulator import Knobs, deliveries
from receiver.emulator.deliveries import RETRIES
from receiver.errors import BadSignature
from receiver.schemes import STANDARD
from receiver.signatures import decode_secret

from .conftest import NOW, Emulator, Inbox, Start

EVENT = "tool_execution.cancelled"


def tell(emulator: Emulator, number: int = 0) -> None:
    emulator.videogen.announce(EVENT, {"toolExecutionId": f"vg_tool_{number}"})


def numbers(inbox: Inbox) -> list[str]:
    return [body["toolExecutionId"].removeprefix("vg_tool_") for body in inbox.bodies]


@pytest.fixture
def fates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Decide what happens to each message, by its place: `fates(held=[0])`."""

    def decide(**places: list[int]) -> None:
        class Dice:
            def __init__(self, place: int) -> None:
                self._rolls: Iterator[float] = iter(
                    0.0 if place in places.get(fate, []) else 0.99 for fate in ("lost", "held", "forged", "copied")
                )

            def random(self) -> float:
                return next(self._rolls)

            def uniform(self, low: float, high: float) -> float:
                return high

        monkeypatch.setattr(Knobs, "dice", lambda _self, _about, place: Dice(place))

    return decide


async def test_a_delivery_is_what_the_witnesses_verify(start: Start) -> None:
    async with start(clock=time.time) as emulator:
        secret = (await emulator.register())["signingSecret"]
        tell(emulator)
        await emulator.videogen.settled()
        (request,) = emulator.inbox.requests
    headers, body = dict(request.headers), request.content
    assert request.headers["content-type"] == "application/json"
    assert verify_webhook_signature(body, headers, secret)["tool_execution_id"] == "vg_tool_0"
    assert standardwebhooks.Webhook(secret).verify(body, headers)["event"] == EVENT
    svix.Webhook(secret).verify(body, headers)
    assert (
        STANDARD.verify(request.headers.raw, body, keys=[decode_secret(secret)], now=time.time())
        == headers["webhook-id"]
    )


async def test_an_event_goes_to_every_endpoint_that_wants_it_signed_with_its_own_secret(
    emulator: Emulator,
) -> None:
    one = await emulator.register("https://one.example.com/in")
    two = await emulator.register("https://two.example.com/in", [EVENT])
    await emulator.register("https://three.example.com/in", ["tool_execution.succeeded"])
    tell(emulator)
    await emulator.videogen.settled()
    by_host = {request.url.host: request for request in emulator.inbox.requests}
    assert set(by_host) == {"one.example.com", "two.example.com"}
    ids = set()
    for endpoint, host in ((one, "one.example.com"), (two, "two.example.com")):
        request = by_host[host]
        keys = [decode_secret(endpoint["signingSecret"])]
        ids.add(STANDARD.verify(request.headers.raw, request.content, keys=keys, now=NOW))
    assert len(ids) == 2


async def test_a_message_is_delivered_until_it_is_taken_with_the_same_id_and_bytes(start: Start) -> None:
    ticks = iter(range(1_793_232_000, 1_793_233_000, 7))
    async with start(clock=lambda: float(next(ticks))) as emulator:
        secret = (await emulator.register())["signingSecret"]
        emulator.inbox.statuses = [500, 302, 204]
        tell(emulator)
        await emulator.videogen.settled()
        requests = emulator.inbox.requests
        assert len(requests) == 3
        assert len({(request.headers["webhook-id"], request.content) for request in requests}) == 1
        stamps = [int(request.headers["webhook-timestamp"]) for request in requests]
        assert stamps == sorted(set(stamps))
        for request, stamp in zip(requests, stamps, strict=True):
            replace(STANDARD, past=0, future=0).verify(
                request.headers.raw, request.content, keys=[decode_secret(secret)], now=stamp
            )
        assert [(made.attempt, made.status) for made in emulator.videogen.deliveries] == [
            (1, 500),
            (2, 302),
            (3, 204),
        ]
        assert [message.state for message in emulator.videogen.webhooks.messages] == ["taken"]


async def test_the_waits_between_deliveries_are_svixs_times_the_scale(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async with start(retry_scale=0.5) as emulator:
        await emulator.register()
        emulator.inbox.statuses = [503] * 99
        monkeypatch.setattr(asyncio, "sleep", note)
        tell(emulator)
        await emulator.videogen.settled()
        assert [wait for wait in waits if wait] == [2.5, 150, 900, 3600, 9000, 18000, 18000]
        assert len(emulator.inbox.requests) == len(RETRIES) + 1 == 8
        assert [message.state for message in emulator.videogen.webhooks.messages] == ["given up"]


async def test_an_answer_that_takes_too_long_counts_as_none(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deliveries.TIMEOUT == 15
    monkeypatch.setattr(deliveries, "TIMEOUT", 0.01)
    async with start() as emulator:
        await emulator.register()
        emulator.inbox.hang = True
        tell(emulator)
        await emulator.videogen.settled()
        assert {made.status for made in emulator.videogen.deliveries} == {None}
        assert len(emulator.videogen.deliveries) == 8


async def test_an_endpoint_that_cannot_be_reached_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as emulator:
        await emulator.register()

        async def fail(*_args: Any) -> None:
            raise httpx.ConnectError("nobody there")

        monkeypatch.setattr(Inbox, "__call__", fail)
        tell(emulator)
        await emulator.videogen.settled()
        assert [made.status for made in emulator.videogen.deliveries] == [None] * 8


async def test_a_deleted_endpoint_is_told_nothing_more(emulator: Emulator) -> None:
    endpoint = await emulator.register()
    emulator.inbox.hang = True
    tell(emulator, 0)
    await emulator.inbox.arrived.wait()
    await emulator.client.delete(f"/v1/webhooks/endpoints/{endpoint['endpointId']}")
    tell(emulator, 1)
    assert [message.event for message in emulator.videogen.webhooks.messages] == [EVENT]


async def test_a_message_whose_endpoint_is_gone_is_given_up(start: Start) -> None:
    async with start(delay=0.01) as emulator:
        endpoint = await emulator.register()
        tell(emulator)
        await emulator.client.delete(f"/v1/webhooks/endpoints/{endpoint['endpointId']}")
        await emulator.videogen.settled()
        assert emulator.inbox.requests == []
        assert [message.state for message in emulator.videogen.webhooks.messages] == ["given up"]


async def test_a_lost_message_is_never_sent(start: Start, fates: Callable[..., None]) -> None:
    fates(lost=[1])
    async with start(loss=0.5) as emulator:
        await emulator.register()
        for number in range(3):
            tell(emulator, number)
        await emulator.videogen.settled()
        assert numbers(emulator.inbox) == ["0", "2"]
        assert [message.state for message in emulator.videogen.webhooks.messages] == [
            "taken",
            "lost",
            "taken",
        ]


async def test_a_duplicate_has_the_same_id_and_bytes(start: Start, fates: Callable[..., None]) -> None:
    fates(copied=[0])
    async with start(duplicates=0.5) as emulator:
        await emulator.register()
        tell(emulator, 0)
        tell(emulator, 1)
        await emulator.videogen.settled()
        assert sorted(numbers(emulator.inbox)) == ["0", "0", "1"]
        assert len({request.headers["webhook-id"] for request in emulator.inbox.requests}) == 2


async def test_a_copy_that_nobody_takes_does_not_undo_that_the_other_was_taken(
    start: Start, fates: Callable[..., None]
) -> None:
    fates(copied=[0])
    async with start(duplicates=0.5) as emulator:
        await emulator.register()
        emulator.inbox.statuses = [200, *[500] * 8]
        tell(emulator)
        await emulator.videogen.settled()
        assert len(emulator.videogen.deliveries) == 9
        assert [message.state for message in emulator.videogen.webhooks.messages] == ["taken"]


async def test_a_message_that_is_held_back_comes_after_a_later_one(start: Start, fates: Callable[..., None]) -> None:
    fates(held=[0, 1])
    async with start(disorder=0.5) as emulator:
        await emulator.register()
        for number in range(3):
            tell(emulator, number)
        await emulator.videogen.settled()
        assert numbers(emulator.inbox)[0] == "2"
        assert sorted(numbers(emulator.inbox)) == ["0", "1", "2"]


async def test_a_later_message_to_another_endpoint_releases_nothing(
    start: Start, fates: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "_PATIENCE", 0.02)
    fates(held=[0])
    async with start(disorder=0.5) as emulator:
        await emulator.register("https://one.example.com/in", ["file.download_ready"])
        await emulator.register("https://two.example.com/in", [EVENT])
        emulator.videogen.announce("file.download_ready", {"toolExecutionId": "vg_tool_held"})
        tell(emulator, 1)
        tell(emulator, 2)
        await emulator.videogen.settled()
        assert numbers(emulator.inbox) == ["1", "2", "held"]


async def test_a_wrong_signature_is_made_good_by_the_next_delivery(start: Start, fates: Callable[..., None]) -> None:
    fates(forged=[0])
    async with start(wrong_signature=0.5) as emulator:
        secret = (await emulator.register())["signingSecret"]
        emulator.inbox.statuses = [401]
        tell(emulator)
        await emulator.videogen.settled()
        first, second = emulator.inbox.requests
        keys = [decode_secret(secret)]
        with pytest.raises(BadSignature, match="wrong-signature"):
            STANDARD.verify(first.headers.raw, first.content, keys=keys, now=NOW)
        assert STANDARD.verify(second.headers.raw, second.content, keys=keys, now=NOW) == first.headers["webhook-id"]
        assert [(made.forged, made.status) for made in emulator.videogen.deliveries] == [
            (True, 401),
            (False, 200),
        ]


async def test_the_delay_holds_the_first_delivery_back(
    start: Start, fates: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fates()
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    async with start(delay=9) as emulator:
        await emulator.register()
        monkeypatch.setattr(asyncio, "sleep", note)
        tell(emulator)
        await emulator.videogen.settled()
        assert waits[0] == 9


async def test_the_same_seed_gives_the_same_faults(start: Start) -> None:
    async def run(seed: int) -> tuple[list[str], list[str]]:
        async with start(seed=seed, loss=0.3, duplicates=0.3) as emulator:
            await emulator.register()
            for number in range(20):
                tell(emulator, number)
            await emulator.videogen.settled()
            return sorted(numbers(emulator.inbox)), [each.state for each in emulator.videogen.webhooks.messages]

    first = await run(5)
    assert set(first[1]) == {"taken", "lost"}
    assert len(set(first[0])) < len(first[0])
    assert await run(5) == first
    assert await run(6) != first


async def test_a_delivery_is_one_line_in_the_log_and_no_secret_is_in_it(emulator: Emulator) -> None:
    made = await emulator.register("https://user:pass@hooks.example.com/in?token=hidden")
    emulator.inbox.statuses = [500]
    with capture_logs() as logs:
        tell(emulator)
        await emulator.videogen.settled()
    assert [(line["type"], line["attempt"], line["status"]) for line in logs] == [
        (EVENT, 1, 500),
        (EVENT, 2, 200),
    ]
    text = json.dumps(logs) + repr(emulator.videogen.webhooks.messages[0].deliveries)
    assert made["signingSecret"] not in text
    assert "hidden" not in text
    assert "pass" not in text
