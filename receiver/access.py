"""Who may use the API, read the metrics and see the pages: whoever has the admin token."""

import hmac
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr
from starlette.requests import Request

from .errors import NoAccess

log = structlog.get_logger(__name__)

#: Wrong tokens that one address, and all together, may try within so many seconds.
TRIES, OVERALL, WINDOW = 10, 200, 300.0

#: Addresses that are remembered, the latest ones: what strangers can make us hold is bounded.
ADDRESSES = 1000


def check(request: Request, token: SecretStr | None, tries: "Tries") -> None:
    """Return if the request says `Authorization: Bearer` and the token. Raises NoAccess, always without a token."""
    if token is None:
        raise NoAccess("this is closed: set RECEIVER_ADMIN_TOKEN to open it", status=403)
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not said.strip():
        raise NoAccess("say Authorization: Bearer and the RECEIVER_ADMIN_TOKEN", status=401)
    tries.check(request, said, token)


def is_token(said: str, token: SecretStr) -> bool:
    """Whether what somebody said is the token; how long that takes does not tell how near it was."""
    return hmac.compare_digest(said.encode("utf-8", "replace"), token.get_secret_value().encode())


def check_origin(request: Request, public_url: str | None) -> None:
    """Return if a page of ours sent this request. Raises NoAccess if another site did, or nobody says who.

    Browsers say so themselves: in `Sec-Fetch-Site`, or where the connection is not secure, in `Origin`.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        said = urlsplit(request.headers.get("origin", "")).netloc
        ours = {request.headers.get("host", ""), urlsplit(public_url or "").netloc} - {""}
        same = said in ours
    else:
        same = site == "same-origin"
    if not same:
        raise NoAccess("this was not sent by a page of this receiver", status=403)


class Tries:
    """Counts wrong tokens, by address and in all, in this process.

    Only who says a wrong one has to wait: the right one always opens, or strangers could lock out its owner, who behind
    a proxy has the same address. What keeps them out is that nobody can guess it.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=OVERALL)

    def check(self, request: Request, said: str, token: SecretStr) -> None:
        """Return if the token was said. Raises NoAccess: 401, or 429 after too many wrong ones."""
        if is_token(said.strip(), token):
            return
        address = request.client.host if request.client else ""
        if wait := self._noted(address):
            text = f"too many wrong tokens: try again in {math.ceil(wait / 60)} minutes, or with the right one"
            raise NoAccess(text, status=429, retry_after=math.ceil(wait))
        raise NoAccess("that is not the RECEIVER_ADMIN_TOKEN of this receiver", status=401)

    def _noted(self, address: str) -> float:
        """Note a wrong token; return the seconds until another may be tried, 0 if that is now."""
        now = self._clock()
        mine = self._wrong.setdefault(address, deque(maxlen=TRIES))
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        wait = max(_full_for(mine, now), _full_for(self._all, now))
        if wait:
            return wait
        mine.append(now)
        self._all.append(now)
        if len(mine) == TRIES:
            log.warning("wrong_tokens", address=address, tries=TRIES)
        return 0.0


def _full_for(moments: deque[float], now: float) -> float:
    """Return the seconds until the oldest of as many moments as there may be is out of the window; 0 if it is."""
    return max(0.0, moments[0] + WINDOW - now) if len(moments) == moments.maxlen else 0.0
