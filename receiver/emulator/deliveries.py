"""Webhooks of the emulated account: endpoints, what is sent to them, and what becomes of it.

VideoGen does not state its retry schedule. This one is Svix's, whose work its endpoints look like.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import structlog

from receiver.signatures import decode_secret, sign

from .background import Background
from .endpoints import Endpoint
from .knobs import Knobs

log = structlog.get_logger(__name__)

#: Seconds a receiver has for its answer.
TIMEOUT = 15

#: Seconds between the deliveries of one message.
RETRIES = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)

#: Seconds after which a message that is held back goes out although none came after it.
_PATIENCE = 2.0

_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to an endpoint."""

    id: str  #: the message's, as in `webhook-id`
    event: str
    endpoint_id: str
    attempt: int  #: 1 at the first time
    at: float  #: Unix seconds
    forged: bool  #: signed with a wrong key
    status: int | None  #: None if no answer came in time


@dataclass(slots=True, kw_only=True)
class Message:
    """One event for one endpoint: the same id and bytes however often it is delivered."""

    id: str
    event: str
    endpoint: Endpoint
    body: bytes = field(repr=False)
    state: Literal["waiting", "taken", "lost", "given up"] = "waiting"
    deliveries: list[Delivery] = field(default_factory=list)


class Webhooks:
    """The endpoints and everything sent to them."""

    def __init__(
        self, *, knobs: Knobs, clock: Callable[[], float], client: httpx.AsyncClient, background: Background
    ) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.messages: list[Message] = []
        self._knobs = knobs
        self._clock = clock
        self._client = client
        self._background = background
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._newest: dict[str, int] = {}  # by endpoint, the place in `messages` of the newest that went out
        self._progress = asyncio.Condition()

    @property
    def deliveries(self) -> list[Delivery]:
        """Every request made so far, oldest first."""
        made = [delivery for message in self.messages for delivery in message.deliveries]
        return sorted(made, key=lambda delivery: delivery.at)

    def announce(self, event: str, body: dict[str, Any]) -> None:
        """Send `{"event": …, **body}` to every endpoint that wants this event."""
        content = json.dumps({"event": event, **body}, separators=(",", ":")).encode()
        for endpoint in list(self.endpoints.values()):
            if event in endpoint.events:
                message = Message(id=f"msg_{secrets.token_hex(13)}", event=event, endpoint=endpoint, body=content)
                self.messages.append(message)
                self._background.start(self._send(message, place=len(self.messages) - 1))

    async def _send(self, message: Message, *, place: int) -> None:
        dice = self._knobs.dice("message", place)
        lost, held, forged, copied = (
            dice.random() < share
            for share in (
                self._knobs.loss,
                self._knobs.disorder,
                self._knobs.wrong_signature,
                self._knobs.duplicates,
            )
        )
        if lost or (self._knobs.lose and self._knobs.lose.encode() in message.body):
            message.state = "lost"
            log.info("delivery_lost", id=message.id, type=message.event, endpoint=message.endpoint.id)
            return
        await asyncio.sleep(dice.uniform(0, self._knobs.delay))
        if held:
            await self._later_one(message, place)
        async with asyncio.TaskGroup() as copies:
            for _ in range(2 if copied else 1):
                copies.create_task(self._until_taken(message, place, forged=forged))

    async def _later_one(self, message: Message, place: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE), self._progress:
                await self._progress.wait_for(lambda: self._newest.get(message.endpoint.id, -1) > place)

    async def _until_taken(self, message: Message, place: int, *, forged: bool) -> None:
        for wait in (0, *RETRIES):
            await asyncio.sleep(wait * self._knobs.retry_scale)
            if message.endpoint.id not in self.endpoints:
                break
            delivery = await self._deliver(message, forged=forged)
            forged = False
            async with self._progress:
                self._newest[message.endpoint.id] = max(place, self._newest.get(message.endpoint.id, -1))
                self._progress.notify_all()
            if delivery.status is not None and 200 <= delivery.status < 300:
                message.state = "taken"
                return
        if message.state == "waiting":
            message.state = "given up"

    async def _deliver(self, message: Message, *, forged: bool) -> Delivery:
        key = secrets.token_bytes(24) if forged else decode_secret(message.endpoint.secret)
        async with self._slots:
            at = self._clock()
            status = await self._post(message, key=key, timestamp=int(at))
        delivery = Delivery(
            id=message.id,
            event=message.event,
            endpoint_id=message.endpoint.id,
            attempt=len(message.deliveries) + 1,
            at=at,
            forged=forged,
            status=status,
        )
        message.deliveries.append(delivery)
        # The endpoint by its id: people put tokens into the URLs of webhooks.
        log.info(
            "delivery",
            id=message.id,
            type=message.event,
            endpoint=message.endpoint.id,
            attempt=delivery.attempt,
            status=status,
        )
        return delivery

    async def _post(self, message: Message, *, key: bytes, timestamp: int) -> int | None:
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(key, id=message.id, timestamp=timestamp, body=message.body),
        }
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._client.post(message.endpoint.url, content=message.body, headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return None
        return response.status_code
