"""Tell your own services: each event is posted to a URL, signed by you the Standard Webhooks way.

    [[handlers]]
    use = "forward"
    on = "job.*"
    url = "https://app.example.com/hooks/media"
    secret = { env = "FORWARD_SECRET" }   # made by: receiver secrets signing

Your service checks it with any library of https://www.standardwebhooks.com, for instance
`standardwebhooks.Webhook(secret).verify(body, headers)`. `webhook-id` is the event's id, the same on every
attempt and replay: a service that remembers it does nothing twice. Whatever is sent, the URLs of outputs go
along as the provider gave them: signed, and open to whoever holds them until they expire. Your service may
need them; with `urls = false` they stay here.

A 2xx answer is the end of it. Everything else is tried again, later each time or when `Retry-After` says,
over about ten hours: errors of the service, a 401 from one that has the new secret not yet, a 404 from one
that is being deployed. Only 410 ends it at once: there is nothing any more. A redirect is not followed: what
is signed is for the one address. Nobody is sent anything at a private address or over plain http, unless
RECEIVER_OUTBOUND_ALLOW has the host.
"""

import asyncio
import contextlib
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, field_validator, model_validator

from receiver import AddressRefused, Context, Event, GiveUp, Retry, Secret, Signer, configurable

from ._retry_after import retry_after, within_reason

#: Bytes of an answer that are looked at, and characters that are told of them.
_LOOKED_AT, _TOLD = 4096, 300

#: Seconds to wait for these. The status has said it all by then.
_PATIENCE = 2.0


class Forward(BaseModel):
    """The options of `forward`."""

    url: str = Field(description="Where your service listens.")
    secret: Secret = Field(
        description="What signs: `whsec_…` for HMAC (`v1`), `whsk_…` for ed25519 (`v1a`). Several, newest first, with "
        "commas, while one is replaced: each makes a signature."
    )
    body: Literal["event", "cloudevent", "provider"] = Field(
        "event",
        description="`event` is ours, the same for all providers, with the provider's JSON in `data`. `cloudevent` is "
        "that in a CloudEvents 1.0 envelope. `provider` is the provider's own body, byte for byte.",
    )
    urls: bool = Field(True, description="Whether URLs keep the signatures in them that open files.")

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fit = parts.scheme in ("https", "http") and parts.hostname and "@" not in parts.netloc
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            fit = False
        if not fit:
            raise ValueError("must be a URL like https://app.example.com/hooks, without a user")
        return url

    @model_validator(mode="after")
    def _untouched(self) -> Self:
        if self.body == "provider" and not self.urls:
            raise ValueError("the provider's own body cannot be sent without its URLs: choose another `body`")
        return self


# The retries span about ten hours, at the usual waits.
@configurable(retries=30, timeout=30)
def forward(options: Forward) -> Callable[[Event, Context], Awaitable[None]]:
    """Post each event to a service of yours, signed."""
    signer = Signer(options.secret.get_secret_value())
    body_of = _BODIES[options.body]

    async def handle(event: Event, context: Context) -> None:
        body, media_type = body_of(event, options.urls)
        signed = signer.headers(id=event.id, timestamp=time.time(), body=body)
        headers = {"content-type": media_type, "accept-encoding": "identity", **signed}
        answer, said = await _post(context.http, options.url, body, headers)
        if not answer.is_success:
            hidden = (*signer.secrets, *signed["webhook-signature"].split())
            raise _verdict(answer, _beginning(said, hidden), attempt=context.attempt)

    return handle


async def _post(
    http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]
) -> tuple[httpx.Response, bytes]:
    """Return the answer and the first bytes of what it says. Raises Retry, which tells no URL: it may be a secret."""
    try:
        async with http.stream("POST", url, content=body, headers=headers, follow_redirects=False) as answer:
            return answer, b"" if answer.has_redirect_location else await _first_bytes(answer)
    except (AddressRefused, httpx.ConnectError) as error:  # told in this machine's words
        raise Retry(f"not reached: {error}") from None
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise Retry(f"no answer: {type(error).__name__}") from None


async def _first_bytes(answer: httpx.Response) -> bytes:
    found = b""
    with contextlib.suppress(TimeoutError, httpx.HTTPError, ssl.SSLError):
        async with asyncio.timeout(_PATIENCE):
            async for chunk in answer.aiter_raw():
                found += chunk[:_LOOKED_AT]
                if len(found) >= _LOOKED_AT:
                    break
    return found


def _verdict(answer: httpx.Response, said: str, *, attempt: int) -> Retry | GiveUp:
    told = f"{answer.url.host} answered {answer.status_code}"
    if answer.has_redirect_location:
        told += ", a redirect, which is not followed: name the new address in receiver.toml"
    told += f": {said}" if said else ""
    if answer.status_code == 410:
        return GiveUp(f"{told} (there is nothing any more)")
    asked = retry_after(answer.headers, now=time.time())
    return Retry(told, after=None if asked is None else within_reason(asked, attempt=attempt))


def _beginning(said: bytes, hidden: Iterable[str]) -> str:
    """Return what an answer says as one line, without the secrets that an error page might show."""
    text = said.decode("utf-8", "replace").replace("\\/", "/")
    for word in hidden:
        text = text.replace(word, "[redacted]")
    return re.sub(r"[^\S ]+|\s{2,}", " ", text).strip()[:_TOLD]


def _event(event: Event, urls: bool) -> tuple[bytes, str]:
    return json.dumps(event.as_json(urls=urls)).encode(), "application/json"


def _cloudevent(event: Event, urls: bool) -> tuple[bytes, str]:
    """Return a structured CloudEvent: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/sources/{event.source}",
        # Ours is the same for all providers; a provider's own name is told apart by its beginning.
        "type": event.kind or f"{event.source}.{event.type}",
        "time": datetime.fromtimestamp(event.occurred_at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": event.as_json(urls=urls),
    }
    if event.job_id:
        envelope["subject"] = event.job_id
    return json.dumps(envelope).encode(), "application/cloudevents+json; charset=UTF-8"


def _provider(event: Event, _urls: bool) -> tuple[bytes, str]:
    return event.body, "application/json"


_BODIES = {"event": _event, "cloudevent": _cloudevent, "provider": _provider}
