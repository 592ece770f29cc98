"""`POST /webhooks/{source}`: read, verify, store, and only then answer.

A source that does not sign what it sends has `/webhooks/{source}/{token}`, one for each job. What comes there is a
hint: its provider is asked, and the answer becomes the event.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from . import meters
from .callback import Callbacks
from .errors import BadSignature, Refused, TooLarge, Unavailable, UnknownSource, Unreadable, WrongMediaType
from .events import Reading
from .flood import ClockWatch, Sampler
from .keyring import Keyring
from .logs import scrub
from .proxies import Proxies
from .sources import HintingSource, WebhookSource
from .store import SECRET_HEADERS, Arrival, Hints, Refusal, headers_text
from .tracing import Tracing
from .writer import Writer

log = structlog.get_logger(__name__)

Headers = list[tuple[bytes, bytes]]

#: How much of a refused body is kept, bytes.
KEPT = 4096

#: Bytes of bodies that may be half read, all together.
READING_BYTES = 64 * 2**20


class Inbox:
    """The ASGI app behind `POST /webhooks/{source}`.

    Answers 200 once the delivery is durable, whether it is new or a copy; 401, 404, 408, 413 or 415 to
    what is refused; 503 with `Retry-After` when the trouble is ours.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, WebhookSource],
        keyring: Keyring,
        writer: Writer,
        hints: Hints,
        callbacks: Callbacks,
        clock: Callable[[], float],
        max_body: int,
        body_timeout: float,
        proxies: Proxies | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._sources = sources
        self._keyring = keyring
        self._writer = writer
        self._hints = hints
        self._callbacks = callbacks
        # Asked once: whether an object has all that a protocol wants takes longer than to verify a signature.
        self._hinting = {name: source for name, source in sources.items() if isinstance(source, HintingSource)}
        self._any_media = {name for name, source in sources.items() if getattr(source, "media", "json") == "any"}
        self._clock = clock
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._proxies = proxies or Proxies()
        self._tracing = tracing
        self._secret_headers = SECRET_HEADERS | _fixed(sources.values())
        self._reading = 0  # bytes of bodies of which more is to come
        # Who floods one name must not use up the rows of another.
        self._samplers = {name: Sampler() for name in sources}
        self._elsewhere = Sampler()
        self.clock_watch = ClockWatch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one delivery."""
        if self._tracing is None:
            await self._deliver(scope, receive, send)
            return
        source = scope["path_params"]["source"]
        with self._tracing.delivery(source if source in self._sources else "unknown", scope["headers"]):
            await self._deliver(scope, receive, send)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send) -> None:
        name: str = scope["path_params"]["source"]
        token: str | None = scope["path_params"]["token"]
        received_at, began = self._clock(), time.perf_counter()
        body = bytearray()
        try:
            source = self._source(name, token, scope["headers"])
            await self._read(receive, body)
            if name in self._hinting:
                told = await self._hinted(self._hinting[name], token, scope, bytes(body), received_at)
            else:
                told = await self._stored(await self._arrival(source, scope, bytes(body), received_at))
        except Refused as refused:
            self._note(refused, name, scope, body, received_at)
            await _answer(send, refused.status, {"error": _TOLD[refused.status]})
        except Unavailable as error:
            meters.DELIVERIES.add(name, "unavailable")
            unread = isinstance(error, _TooMuch)
            await _answer(send, 503, {"error": "try again later"}, retry_after=error.retry_after, unread=unread)
        except _HungUp:
            meters.DELIVERIES.add(name, "hung-up")
            log.info("sender_hung_up", source=name, read=len(body))
        except Exception:
            meters.DELIVERIES.add(name, "unavailable")
            log.exception("delivery_not_answered", source=name)
            await _answer(send, 503, {"error": "try again later"}, retry_after=5)
        else:
            await _send(send, 200, told, [])
            meters.ACKS.add(time.perf_counter() - began, name)

    def _source(self, name: str, token: str | None, headers: Headers) -> WebhookSource:
        source = self._sources.get(name)
        if source is None or (token is not None and name not in self._hinting):
            raise UnknownSource("unknown-source")
        for header, value in headers:
            if header == b"content-type" and b"json" not in value.lower() and name not in self._any_media:
                raise WrongMediaType("not-json")
            if header == b"content-length" and (not value.isdigit() or int(value[:20]) > self._max_body):
                raise TooLarge("declared-too-large")
        return source

    async def _read(self, receive: Receive, body: bytearray) -> None:
        """Read the exact bytes into `body`, never more than the limit, never longer than the time allowed."""
        # The usual body is here with its headers and needs no clock; if none of it comes, the protocol hangs up.
        if not await self._more(receive, body):
            return
        counted = 0
        try:
            async with asyncio.timeout(self._body_timeout):
                while True:
                    self._reading += len(body) - counted
                    counted = len(body)
                    if self._reading > READING_BYTES:
                        raise _TooMuch("too much is being read at once", retry_after=2)
                    if not await self._more(receive, body):
                        return
        except TimeoutError:
            raise Refused("slow-sender", status=408) from None
        finally:
            self._reading -= counted

    async def _more(self, receive: Receive, body: bytearray) -> bool:
        """Read the next piece; return whether another follows."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        body += message.get("body", b"")
        if len(body) > self._max_body:
            raise TooLarge("too-large")
        return bool(message.get("more_body", False))

    async def _arrival(self, source: WebhookSource, scope: Scope, body: bytes, received_at: float) -> Arrival:
        message_id = await self._verify(source, scope["headers"], body, received_at)
        reason = None
        try:
            reading = source.read(body, brief=True)
        except Unreadable as error:
            reading, reason = Reading(type="unreadable"), str(error)
            log.warning("quarantined", source=source.name, message_id=message_id, reason=reason)
        return Arrival(
            source=source.name,
            type=reading.type,
            kind=reading.kind,
            job_id=reading.job_id,
            tool=reading.tool,
            road="webhook",
            received_at=received_at,
            occurred_at=received_at if reading.occurred_at is None else reading.occurred_at,
            expires_at=reading.expires_at if reading.lifetime is None else received_at + reading.lifetime,
            message_id=message_id,
            fact=reading.fact,
            reason=reason,
            headers=headers_text(scope["headers"], self._secret_headers),
            body=body,
            sender=self._proxies.sender(scope),
            trace=None if self._tracing is None else self._tracing.here(),
        )

    async def _stored(self, arrival: Arrival) -> bytes:
        added = await self._writer.add(arrival)
        meters.DELIVERIES.add(arrival.source, added.status if arrival.reason is None else "quarantined")
        if self._tracing is not None:
            self._tracing.tell(event_id=added.event_id, verdict=added.status)
        return b'{"event": "%b", "status": "%b"}' % (added.event_id.encode(), added.status.encode())

    async def _hinted(
        self, source: HintingSource, token: str | None, scope: Scope, body: bytes, received_at: float
    ) -> bytes:
        """Have the job asked about that a body is about, and believe nothing else of it."""
        if token is None:
            expected, message_id = None, await self._verify(source, scope["headers"], body, received_at)
        else:
            expected, message_id = self._callbacks.check(source.name, token, now=received_at), None
        if (answer := source.challenge(body)) is not None:
            meters.DELIVERIES.add(source.name, "challenge")
            return answer
        outcome = await self._hints.take(source.name, source.hint(body), expected=expected)
        if outcome == "asked":
            meters.DELIVERIES.add(source.name, "asked")
            return b'{"status": "asked"}'
        if outcome != "nothing":
            raise BadSignature(outcome)
        return await self._stored(
            Arrival(
                source=source.name,
                type="unreadable",
                road="webhook",
                received_at=received_at,
                occurred_at=received_at,
                message_id=message_id or "sha256:" + hashlib.sha256(body).hexdigest(),
                reason="it names no job that its provider could be asked about",
                headers=headers_text(scope["headers"], self._secret_headers),
                body=body,
                sender=self._proxies.sender(scope),
            )
        )

    async def _verify(self, source: WebhookSource, headers: Headers, body: bytes, now: float) -> str:
        try:
            try:
                message_id = source.verify(headers, body, keys=self._keyring.keys(source.name), now=now)
            except BadSignature as error:
                if error.reason not in ("wrong-signature", "no-secret"):
                    raise
                # The secret may have been registered a moment ago, by another process; or the provider has a new key.
                await self._keyring.look_again(source.name)
                message_id = source.verify(headers, body, keys=self._keyring.keys(source.name), now=now)
        except BadSignature as error:
            if error.reason in ("stale-timestamp", "future-timestamp"):
                self.clock_watch.off(error.skew or 0)
            raise
        self.clock_watch.good()
        return message_id

    def _note(self, refused: Refused, name: str, scope: Scope, body: bytearray, received_at: float) -> None:
        # Any name may be asked for: one that is not ours must not become a label.
        known = name if name in self._sources else "unknown"
        meters.DELIVERIES.add(known, "refused")
        meters.REFUSED.add(known, refused.reason)
        if self._tracing is not None:
            self._tracing.tell(wrong=refused.reason)
        unlisted = self._samplers.get(name, self._elsewhere).take(received_at)
        if unlisted is None:
            return
        log.warning("refused", source=scrub(name)[:64], reason=refused.reason, status=refused.status, unlisted=unlisted)
        self._writer.note(
            Refusal(
                source=name[:64],
                reason=refused.reason,
                status=refused.status,
                received_at=received_at,
                headers=headers_text(scope["headers"], self._secret_headers)[:8192],
                body=bytes(body[:KEPT]),
                size=len(body),
                skew=getattr(refused, "skew", None),
                sender=self._proxies.sender(scope),
                unlisted=unlisted,
            )
        )


class _TooMuch(Unavailable):
    """The bodies that are being read take too much room together."""


class _HungUp(Exception):
    """The sender went away in the middle of its body."""


#: What a refused sender is told. The reason is for us.
_TOLD = {
    401: "the signature does not verify",
    404: "unknown source",
    408: "the body did not arrive in time",
    413: "the body is too large",
    415: "the body must be JSON",
}


def _fixed(sources: Iterable[WebhookSource]) -> set[bytes]:
    """Return the headers in which a provider sends the secret itself, and no signature made with it."""
    schemes = [scheme for source in sources if (scheme := getattr(source, "scheme", None)) is not None]
    return {scheme.header.lower().encode() for scheme in schemes if scheme.kind == "equals"}


async def _answer(
    send: Send, status: int, content: dict[str, Any], *, retry_after: int | None = None, unread: bool = False
) -> None:
    headers = []
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    if unread or status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is still on the wire
    await _send(send, status, json.dumps(content).encode(), headers)


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
