"""A provider under load: sends, keeps what it was told, and sends again until it is told 200."""

import asyncio
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from .deliveries import body, headers, message_id
from .processes import PATIENCE, until

#: Seconds before a delivery that was not taken is sent again.
AGAIN = 0.1

#: Seconds to wait for an answer.
ANSWER = 25.0


class Sender:
    """Sends the deliveries `numbers` to `urls` in turn over `lanes` connections, endless ones until this is left.

    Each answer is a line in the log before the next request leaves. Of endless ones, one in twenty is sent a second
    time, and one in twenty is followed by another end of the same job, which must not count.
    """

    def __init__(
        self,
        urls: Sequence[str],
        log: Path,
        *,
        numbers: Iterable[int],
        seed: int = 0,
        lanes: int = 8,
        pause: float = 0.01,
    ) -> None:
        self._urls = itertools.cycle(urls)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._random = random.Random(seed)
        self._numbers = iter(numbers)
        self._endless = isinstance(numbers, itertools.count)
        self._lanes = lanes
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), name="sender", daemon=True)
        self._error: BaseException | None = None
        self.acked = 0  #: deliveries answered 200
        self.refused = 0  #: answers 503

    def more(self, acks: int) -> None:
        """Wait until so many further deliveries are answered 200."""
        wanted = self.acked + acks
        until(lambda: self.acked >= wanted or self._failed(), f"{acks} more acks")

    def more_refused(self, answers: int) -> None:
        """Wait until so many further answers are 503."""
        wanted = self.refused + answers
        until(lambda: self.refused >= wanted or self._failed(), f"{answers} more answers 503")

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(4 * PATIENCE)
        late = self._thread.is_alive()
        os.close(self._log)
        self._failed()
        if late:
            raise AssertionError("some deliveries were never answered 200")

    def _failed(self) -> bool:
        if self._error is not None:
            raise self._error
        return False

    async def _send(self) -> None:
        limits = httpx.Limits(max_connections=self._lanes)
        try:
            async with httpx.AsyncClient(timeout=ANSWER, limits=limits, trust_env=False) as client:
                await asyncio.gather(*(self._lane(client) for _ in range(self._lanes)))
        except BaseException as error:
            self._error = error
            raise

    async def _lane(self, client: httpx.AsyncClient) -> None:
        for number in self._numbers:
            await self._until_acked(client, number)
            self.acked += 1
            if self._endless:
                for again in (number, -number):
                    if self._random.random() < 0.05:
                        await self._until_acked(client, again)
            if self._endless and self._stopping.is_set():
                return
            await asyncio.sleep(self._pause)

    async def _until_acked(self, client: httpx.AsyncClient, number: int) -> None:
        while not await self._once(client, number, next(self._urls)):
            await asyncio.sleep(AGAIN * (0.5 + self._random.random()))

    async def _once(self, client: httpx.AsyncClient, number: int, url: str) -> bool:
        told: dict[str, object] = {"message": message_id(number), "number": number, "at": time.time()}
        try:
            answer = await client.post(f"{url}/webhooks/videogen", content=body(number), headers=headers(number))
        except httpx.TransportError as error:
            self._note({**told, "status": None, "error": type(error).__name__})
            return False
        told |= {"status": answer.status_code, "retry_after": answer.headers.get("retry-after")}
        with suppress(ValueError):
            told |= {"told": answer.json()}
        self._note(told)
        self.refused += answer.status_code == 503
        return answer.status_code == 200

    def _note(self, row: dict[str, object]) -> None:
        os.write(self._log, json.dumps(row).encode() + b"\n")
