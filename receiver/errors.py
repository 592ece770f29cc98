"""Every error the receiver raises.

    ReceiverError
    ├── ConfigError            settings, secrets or handlers that cannot work; names what to change
    │   ├── UnknownEndpoint    an endpoint that is neither here nor at its provider
    │   └── NewerSchema        a newer version of the receiver was at this database
    ├── Refused                a delivery that is not taken; `status` is what its sender is answered
    │   ├── BadSignature       401
    │   ├── UnknownSource      404
    │   ├── TooLarge           413
    │   └── WrongMediaType     415
    ├── Unreadable             a trusted body that makes no sense; kept in quarantine
    ├── Unavailable            503: our own trouble, the sender should try again
    ├── NoAccess               401, 403, 429: a request to the API or the metrics that may not be made
    ├── BadParameters          a job that its provider would certainly refuse
    ├── ProviderError          a provider's API said no, or nothing
    └── AddressRefused         an outgoing request to an address we do not talk to

    Retry, GiveUp              how a handler steers its own run; not errors

Messages never hold a secret or a signed URL.
"""


class ReceiverError(Exception):
    """The base of every error here."""

    exit_code = 1  #: of a process that it stops


class ConfigError(ReceiverError):
    """Settings, secrets or handlers that cannot work. The message says what to change."""

    exit_code = 2


class UnknownEndpoint(ConfigError):
    """No endpoint has this id, neither here nor at the provider."""


class NewerSchema(ConfigError):
    """The database was brought ahead by a newer version: to this one, what it knows is there, and more."""


class Refused(ReceiverError):
    """A delivery that is not taken.

    `status` is the HTTP status for its sender. `reason` is a short code for us, which the sender
    is never told.
    """

    status = 400

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if status is not None:
            self.status = status


class BadSignature(Refused):
    """The delivery proves nothing. `skew` is how many seconds its timestamp is ahead of our clock, if it has one."""

    status = 401

    def __init__(self, reason: str, *, skew: float | None = None) -> None:
        super().__init__(reason)
        self.skew = skew


class UnknownSource(Refused):
    """No source of that name is configured here."""

    status = 404


class TooLarge(Refused):
    """The body went over the size limit."""

    status = 413


class WrongMediaType(Refused):
    """The body is not declared as JSON."""

    status = 415


class Unreadable(ReceiverError):
    """A trusted body that makes no sense. It is kept, and its sender is told it arrived."""


class Unavailable(ReceiverError):
    """We cannot store right now; the sender should come again in `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoAccess(ReceiverError):
    """A request without the admin token. `status` and `headers` are for its answer, `retry_after` is in seconds."""

    def __init__(self, message: str, *, status: int, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        if retry_after is not None:
            self.headers["retry-after"] = str(retry_after)


class BadParameters(ReceiverError):
    """A job that its provider would certainly refuse. The message names each rule and where it is documented."""


class ProviderError(ReceiverError):
    """A provider's API refused or failed.

    `status` is its HTTP status, 0 if no answer came. `code` and `request_id` are its own, for its
    support. `retry_after` is in seconds, if it named a time. `exhausted` says that the account is out of
    credits: to wait does not help by itself. `reached` is False if what was asked for certainly never got
    to the provider.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        exhausted: bool = False,
        reached: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.exhausted = exhausted
        self.reached = reached


class AddressRefused(ReceiverError):
    """An outgoing request to an address we do not talk to. The message names the host, never the URL."""


class Retry(Exception):
    """Raised by a handler that wants to run again; it is not logged as an error.

    `after` is the wait in seconds, None means the usual backoff.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class GiveUp(Exception):
    """Raised by a handler that will never succeed on this event: the run fails at once, with this reason."""
