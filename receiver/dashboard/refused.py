"""The pages of deliveries that made no event, with the reason and what to do about it."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from ..recall import headers_told
from ..store import Store
from .filters import Filters
from .pages import Missing, Pages, Views, pretty

#: Deliveries on a page.
LISTED = 50

_NOT_OURS = "No provider of ours sends it so: probably somebody tried the door. `receiver verify` shows each step."

#: Each reason in words, and what to do.
REASONS = {
    "wrong-signature": (
        "Its signature is wrong",
        (
            "Either somebody else sent it, or the provider signs with a secret that is not known here. If it is yours, "
            "compare the endpoints with the provider, or register the webhook again. `receiver verify` shows each step."
        ),
    ),
    "no-secret": (
        "No secret is known for its source",
        "Register the webhook with `register-webhook`, or set <NAME>_WEBHOOK_SECRET.",
    ),
    "missing-header": ("It was not signed", _NOT_OURS),
    "no-signature": ("It was not signed", _NOT_OURS),
    "unsigned": ("It was not signed", _NOT_OURS),
    "no-signed-field": ("It was not signed", _NOT_OURS),
    "malformed-id": ("Its message id cannot be read", _NOT_OURS),
    "malformed-timestamp": ("Its timestamp cannot be read", _NOT_OURS),
    "malformed-token": ("Its token cannot be read", _NOT_OURS),
    "wrong-token": ("Its token is wrong", _NOT_OURS),
    "expired-token": (
        "Its token is over",
        "The address it was sent to counts for a while only. The job is asked about instead, if it has not ended.",
    ),
    "repeated-header": ("A header of its signature came twice", _NOT_OURS),
    "too-many-signatures": ("It has too many signatures", _NOT_OURS),
    "wrong-algorithm": ("It is signed in another way than its source signs", _NOT_OURS),
    "wrong-audience": (
        "It is signed for somebody else",
        "Its token names another receiver than RECEIVER_PUBLIC_URL: compare what the provider has registered.",
    ),
    "stale-timestamp": (
        "It is too old",
        (
            "Its timestamp is too far behind our clock. If all are, this machine's clock is ahead: see `receiver "
            "doctor`. If one is, somebody may have replayed it."
        ),
    ),
    "future-timestamp": (
        "It comes from the future",
        "Its timestamp is ahead of our clock. If all are, this machine's clock is behind: `receiver doctor`.",
    ),
    "unknown-source": (
        "No source has this name",
        "Its path names no source that is configured here: `receiver sources` lists them.",
    ),
    "not-json": ("It was not declared as JSON", "Providers send JSON. This came from something else."),
    "too-large": ("It was too large", "If it is the provider's, raise RECEIVER_MAX_BODY."),
    "declared-too-large": ("It was going to be too large", "If it is the provider's, raise RECEIVER_MAX_BODY."),
    "slow-sender": ("Its body came too slowly", "If it is the provider's, raise RECEIVER_BODY_TIMEOUT."),
    "same-message": ("A message that was there already", "It was answered 200, and no handler ran twice."),
    "same-fact": ("A fact that was told already", "Another message had told it. It was answered 200."),
}

_UNKNOWN = "`receiver verify` explains what was found wrong."


class Refused:
    """The pages at `/refused`."""

    def __init__(self, *, store: Store, pages: Pages) -> None:
        self._store = store
        self._pages = pages

    def views(self) -> Views:
        """Return everything that is answered."""
        yield "GET", "/refused", self._list
        yield "GET", "/refused/{id}", self._show

    async def _list(self, request: Request) -> Response:
        filters = Filters(request.query_params, "verdict", "source", "reason")
        filters.values["verdict"] = verdict = filters.values["verdict"] or "refused"
        page = await self._store.events.others(
            verdict=None if verdict == "all" else verdict,
            source=filters.values["source"],
            reason=filters.values["reason"],
            cursor=filters.cursor,
            limit=LISTED,
        )
        return self._pages.answer(request, "refused.html", page=page, filters=filters.values, reasons=REASONS)

    async def _show(self, request: Request) -> Response:
        row = await self._store.events.other(request.path_params["id"])
        if row is None:
            raise Missing("No delivery has this id. It may have been pruned.")
        title, advice = REASONS.get(row["reason"], (row["reason"], _UNKNOWN))
        body, remark = await asyncio.to_thread(pretty, bytes(row["body"])) if row["body"] else (None, None)
        return self._pages.answer(
            request,
            "delivery.html",
            one=row,
            title=title,
            advice=advice,
            headers=headers_told(row["headers"]),
            body=body,
            remark=remark,
        )
