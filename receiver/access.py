"""Who may use the API and read the metrics: whoever bears the admin token."""

import hmac

from pydantic import SecretStr
from starlette.requests import Request

from .errors import NoAccess


def check(request: Request, token: SecretStr | None) -> None:
    """Return if the request says `Authorization: Bearer` and the token. Raises NoAccess, always without a token."""
    if token is None:
        raise NoAccess("this is closed: set RECEIVER_ADMIN_TOKEN to open it", status=403)
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(said.strip().encode(), token.get_secret_value().encode()):
        raise NoAccess("say Authorization: Bearer and the RECEIVER_ADMIN_TOKEN", status=401)
