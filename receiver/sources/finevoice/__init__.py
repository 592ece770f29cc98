"""FineVoice (https://finevoice.ai): voices, sounds and music. It sends no webhooks, so it is asked."""

from collections.abc import Sequence

import httpx

from ...events import Reading
from ...settings import Provider
from .. import Tool
from .api import Api
from .reading import read
from .tools import TOOLS

__all__ = ["Api", "FineVoice"]


class FineVoice:
    """The source `finevoice`."""

    name = "finevoice"
    tools: Sequence[Tool] = TOOLS
    at_once: int | None = 5  #: of the packages Creator and Pro; Scale and Business have 10

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what an answer about a task says. Raises Unreadable and nothing else."""
        return read(body)

    def client(self, http: httpx.AsyncClient, provider: Provider) -> Api:
        """Return FineVoice's API. Raises ConfigError if `FINEVOICE_API_KEY` is not set."""
        return Api(http, provider)
