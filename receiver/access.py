"""Who may use the API, read the metrics and see the pages: whoever has the admin token."""

import hmac
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.requests import Request

from .errors import NoAccess

#: Wrong tokens that one address may try within so many seconds.
TRIES, WINDOW = 10, 300.0

#: Addresses that are remembered, the latest ones: what strangers can make us hold is bounded.
ADDRESSES = 1000


def check(request: Request, token: SecretStr | None) -> None:
    """Return if the request says `Authorization: Bearer` and the token. Raises NoAccess, always without a token."""
    if token is None:
        raise NoAccess("this is closed: set RECEIVER_ADMIN_TOKEN to open it", status=403)
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not is_token(said.strip(), token):
        raise NoAccess("say Authorization: Bearer and the RECEIVER_ADMIN_TOKEN", status=401)


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
    """Counts wrong tokens by address, in this process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return the seconds until this address may try again; 0 if it may."""
        latest = self._recent(address)
        return latest[0] + WINDOW - self._clock() if len(latest) >= TRIES else 0.0

    def wrong(self, address: str) -> None:
        """Note a wrong token."""
        self._wrong[address] = [*self._recent(address), self._clock()]
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - WINDOW
        return [moment for moment in self._wrong.get(address, ()) if moment > since]
