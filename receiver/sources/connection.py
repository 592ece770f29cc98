"""One question to a provider's API and its answer. Nothing is asked twice: that is for the caller to decide."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from ..errors import AddressRefused, ConfigError, ProviderError, Unreadable
from ..settings import Provider
from .reason import clean
from .refusal import refusal
from .wire import parse

#: Seconds for one call, with the reading of its answer.
TIMEOUT = 60.0

#: Bytes of an answer that are read. The largest, an execution with 100 results, has some hundred thousand.
LARGEST = 16 * 2**20


class Connection:
    """The API of the provider `name` under one key. The key is in no error and no repr."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        provider: Provider,
        *,
        name: str,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        variable = name.upper()
        if provider.api_key is None:
            raise ConfigError(f"{variable}_API_KEY is not set: make a key in {name}'s settings")
        if not re.fullmatch(r"[\x21-\x7e]+", provider.api_key.get_secret_value()):
            raise ConfigError(f"{variable}_API_KEY has characters that no key has: copy it again")
        self.name = name
        self._http = http
        self._key = provider.api_key
        self._base_url = _checked(provider.base_url or base_url, f"{variable}_BASE_URL", base_url)
        self._more = dict(headers or {})
        self._clock = clock

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the JSON object that is answered, an empty one for no content.

        Raises ProviderError for every other outcome; its `status` is 0 if no answer came.
        """
        request = self._http.build_request(
            method, self._base_url + path, params=params, json=body, headers=self._headers()
        )
        answer, content = await self._send(request)
        if not answer.is_success:
            raise refusal(answer, content, name=self.name, now=self._clock(), key=self._key.get_secret_value())
        if not content:
            return {}
        try:
            return parse(content)
        except Unreadable as error:
            raise ProviderError(f"{self.name}'s answer makes no sense: {error}", status=answer.status_code) from None

    async def _send(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        content = bytearray()
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    async for chunk in answer.aiter_bytes():
                        content += chunk
                        if len(content) > LARGEST:
                            raise ProviderError(f"{self.name}'s answer is too large", status=answer.status_code)
                finally:
                    await answer.aclose()
        except AddressRefused as error:
            raise ProviderError(f"{self.name} was not asked: {error}", reached=False) from None
        except (httpx.HTTPError, TimeoutError) as error:
            # The cause is not shown: it holds the request, and that holds the key.
            why = clean(f"{type(error).__name__} {error}")
            reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise ProviderError(f"no answer from {request.url.host}: {why}", reached=reached) from None
        return answer, bytes(content)

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self._key.get_secret_value()}",
            "accept": "application/json",
            **self._more,
        }


def segment(id: str, name: str) -> str:
    """Return an id as one segment of a path. Raises ProviderError for what cannot be one at this provider."""
    # Nothing but dots would climb to another path; nothing at all would name the whole collection.
    if not id.strip("."):
        raise ProviderError(f"this is not an id at {name}, so nothing was asked")
    return quote(id, safe="", errors="replace")


def _checked(base_url: str, variable: str, usual: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("https", "http") or not url.host or url.userinfo or url.query:
        raise ConfigError(f"{variable} cannot work: write it like {usual}")
    return base_url.rstrip("/")
