"""The gate before the pages: the admin token gives a session, and a cookie says which."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Set

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from .. import access
from ..errors import NoAccess
from ..store import Sessions

#: Seconds that a session lasts, however much it is used.
LIFETIME = 12 * 3600

#: The cookie's name. Browsers take the first from nobody but this very host, over TLS.
SECURE_COOKIE, PLAIN_COOKIE = "__Host-receiver", "receiver"


class Gate:
    """Sessions of those who said the admin token.

    A cookie has a random id. The store has its digest, keyed with the token: who reads the database gets into no
    session, and a new token ends them all.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        token: SecretStr | None,
        tries: access.Tries,
        public_url: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._token = token
        self._key = token.get_secret_value().encode() if token else b""
        self._public_url = public_url
        self._clock = clock
        self._tries = tries

    @property
    def closed(self) -> bool:
        """Whether nobody can sign in, for there is no token."""
        return self._token is None

    def digest(self, request: Request) -> str | None:
        """Return what the store would know the request's session by; None if it names none."""
        said = request.cookies.get(self._cookie(request))
        return self._digest(said) if said and self._token else None

    async def holds(self, digest: str | None) -> bool:
        """Whether there is a session with this digest that is not over. Raises Unavailable."""
        return digest is not None and bool(await self.hold({digest}))

    async def hold(self, digests: Set[str]) -> Set[str]:
        """Return those that have a session that is not over. Raises Unavailable."""
        return await self._sessions.valid(digests, now=self._clock())

    def check_origin(self, request: Request) -> None:
        """Raise NoAccess unless one of our pages sent this."""
        access.check_origin(request, self._public_url)

    async def sign_in(self, request: Request, said: str, answer: Response) -> None:
        """Begin a session if the token was said, and have `answer` set its cookie.

        Raises NoAccess: 403 if there is no token or another site sent this, 429 after too many wrong ones, 401.
        """
        if self._token is None:
            raise NoAccess("the pages are closed: set RECEIVER_ADMIN_TOKEN to open them", status=403)
        self.check_origin(request)
        self._tries.check(request, said, self._token)
        if old := self.digest(request):
            await self._sessions.end(old)
        now, session = self._clock(), secrets.token_urlsafe(32)
        await self._sessions.begin(self._digest(session), now=now, valid_until=now + LIFETIME)
        # Lax: a link to an event in an alarm opens it. What changes something is a POST, which needs our own origin.
        answer.set_cookie(
            self._cookie(request),
            session,
            max_age=LIFETIME,
            secure=self.is_secure(request),
            httponly=True,
            samesite="lax",
        )

    async def sign_out(self, request: Request, answer: Response) -> None:
        """End the request's session and have `answer` delete its cookie. Raises Unavailable."""
        if digest := self.digest(request):
            await self._sessions.end(digest)
        answer.delete_cookie(self._cookie(request), secure=self.is_secure(request), httponly=True, samesite="lax")

    def is_secure(self, request: Request) -> bool:
        """Whether the cookie is for TLS only. A proxy's word suffices: false, it keeps only its sender out."""
        return _came_by_tls(request) or (self._public_url or "").startswith("https://")

    def keeps(self, request: Request) -> bool:
        """Whether a browser that sent this request keeps the cookie of its answer, as far as we can tell."""
        at_home = request.url.hostname in ("localhost", "127.0.0.1", "::1")
        at_public_url = self._public_url == f"https://{request.headers.get('host', '')}"
        return at_home or at_public_url or _came_by_tls(request) or not self.is_secure(request)

    def _cookie(self, request: Request) -> str:
        return SECURE_COOKIE if self.is_secure(request) else PLAIN_COOKIE

    def _digest(self, session: str) -> str:
        return hmac.new(self._key, session.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _came_by_tls(request: Request) -> bool:
    proxy = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in (request.url.scheme, proxy)
