"""VideoGen (https://videogen.io): Standard Webhooks, endpoints by API, results as signed URLs."""

from collections.abc import Sequence

import httpx

from ...events import Reading
from ...schemes import STANDARD
from ...settings import Provider
from .. import Tool
from .api import Api
from .reading import EVENTS, read
from .tools import TOOLS

__all__ = ["Api", "VideoGen"]


class VideoGen:
    """The source `videogen`."""

    name = "videogen"
    tools: Sequence[Tool] = TOOLS
    at_once: int | None = None
    events: Sequence[str] = EVENTS
    scheme = STANDARD
    certainty = "confirmed"
    facts = "https://docs.videogen.io/handling-async-tasks/webhooks"
    answer, waits = "2xx", 15.0
    verify = staticmethod(STANDARD.verify)  #: returns the delivery's `webhook-id`; raises BadSignature and nothing else

    def decode_secret(self, secret: str) -> bytes:
        """Return the key bytes of a signing secret. Raises ConfigError if it must not be used."""
        return STANDARD.decode_secret(secret)

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what a body says; if `brief`, without outputs and error. Raises Unreadable and nothing else."""
        return read(body, brief=brief)

    def client(self, http: httpx.AsyncClient, provider: Provider) -> Api:
        """Return VideoGen's API. Raises ConfigError if `VIDEOGEN_API_KEY` is not set."""
        return Api(http, provider)
