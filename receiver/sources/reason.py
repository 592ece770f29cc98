"""Why something failed: the error objects of providers, in refusals, failed jobs and webhooks.

Source: https://docs.videogen.io/errors, whose `internalErrorCode` and `requirement` others have not.
"""

from ..events import JobError
from ..logs import scrub
from .wire import mapping, name

_LONGEST = 1000


def job_error(value: object) -> JobError | None:
    """Return what an `error` field says, None if it says nothing. Only the message can be counted on."""
    if isinstance(value, str) and value:
        return JobError(message=clean(value))
    error = mapping(value)
    if not error:
        return None
    code = name(error.get("code"))
    message = error.get("message")
    said = clean(message) if isinstance(message, str) and message else (code or "the provider gave no reason")
    return JobError(message=said, code=code, reference=name(error.get("internalErrorCode")))


def requirement(value: object) -> str | None:
    """Return what has to be bought or changed first, e.g. `"purchase_add_on"`, if an error object says so."""
    return name(mapping(mapping(value).get("requirement")).get("type"))


def clean(text: str) -> str:
    """Return `text` on one line, shortened, and without what must not be shown or logged."""
    return scrub(" ".join(text[:_LONGEST].split()))
