"""VideoGenAPI (https://videogenapi.com): video models of others. It sends no webhooks, so it is asked.

Not to be taken for VideoGen (https://videogen.io), which does.
"""

from collections.abc import Sequence

import httpx

from ...events import Reading
from ...settings import Provider
from .. import Tool
from .api import Api
from .reading import read
from .tools import TOOLS

__all__ = ["Api", "VideoGenApi"]


class VideoGenApi:
    """The source `videogenapi`."""

    name = "videogenapi"
    tools: Sequence[Tool] = TOOLS
    at_once: int | None = None

    def read(self, body: bytes, *, brief: bool = False) -> Reading:
        """Return what an answer about a generation says. Raises Unreadable and nothing else."""
        return read(body)

    def client(self, http: httpx.AsyncClient, provider: Provider) -> Api:
        """Return VideoGenAPI's API. Raises ConfigError if `VIDEOGENAPI_API_KEY` is not set."""
        return Api(http, provider)
