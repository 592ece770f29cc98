"""The sender, a process of its own: reads one JSON order on standard input, writes one JSON answer.

Closed loop: each connection sends its next delivery when the last one is answered. Open loop: deliveries
leave when they are due, whatever the server does, and are timed from when they were due.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop

from .deliveries import request

#: Seconds after which an answer that did not come ends the run.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send. `rate` is deliveries per second for an open loop, None for a closed one."""

    ports: list[int]
    count: int  #: deliveries at most
    first: int = 0  #: number of the first delivery
    connections: int = 64
    warm: float = 0.0  #: seconds before measuring starts
    seconds: float = 60.0  #: seconds of measuring at most
    rate: float | None = None


@dataclass(slots=True, kw_only=True)
class Answer:
    """What came of it. Latencies are seconds."""

    acked: list[int] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0  #: acks per second while measured
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    busy: float = 0.0  #: share of one core the sender used


class Sender(asyncio.Protocol):
    """One keep-alive connection with one delivery on its way at most."""

    __slots__ = ("_buffer", "_done", "due", "number", "transport")

    def __init__(self, done: Any) -> None:
        self._done = done
        self._buffer = b""
        self.number = -1
        self.due = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, number: int, content: bytes, due: float) -> None:
        self.number, self.due = number, due
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        head = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ", 0, head) if head > 0 else -1
        if at < 0 or len(data) < head + 4 + int(data[at + 16 : data.find(b"\r", at)]):
            self._buffer = data
            return
        self._buffer = b""
        self._done(self, data[9:12])

    def connection_lost(self, exc: Exception | None) -> None:
        self._done(self, b"hung up")


class Load:
    """Sends the requests and keeps when each was due and answered."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._requests = [request(order.first + number) for number in range(order.count)]
        self._next = 0
        self._acked: list[tuple[int, float, float]] = []
        self._refused: dict[str, int] = {}
        self._free: deque[Sender] = deque()
        self._late: deque[tuple[int, float]] = deque()
        self._under_way = 0
        self._until = float("inf")
        self._over = asyncio.Event()

    async def run(self) -> Answer:
        loop = asyncio.get_running_loop()
        order = self._order
        for number in range(order.connections):
            port = order.ports[number % len(order.ports)]
            _, sender = await loop.create_connection(lambda: Sender(self._done), "127.0.0.1", port)
            self._free.append(sender)
        gc.freeze()
        gc.disable()
        start, used = time.perf_counter(), time.process_time()
        self._until = start + order.warm + order.seconds
        if order.rate is None:
            while self._free:
                self._send(self._free.popleft())
        else:
            await self._tick(start, order.rate)
        async with asyncio.timeout(order.warm + order.seconds + PATIENCE):
            await self._over.wait()
        answer = self._answer(start + order.warm)
        answer.busy = (time.process_time() - used) / (time.perf_counter() - start)
        return answer

    def _send(self, sender: Sender) -> None:
        now = time.perf_counter()
        if self._next >= len(self._requests) or now >= self._until:
            if not self._under_way:
                self._over.set()
            return
        self._under_way += 1
        sender.send(self._next, self._requests[self._next], now)
        self._next += 1

    async def _tick(self, start: float, rate: float) -> None:
        while self._next < len(self._requests):
            now = time.perf_counter()
            while self._next < len(self._requests) and (due := start + self._next / rate) <= now:
                self._late.append((self._next, due))
                self._next += 1
                self._under_way += 1
            self._flush()
            await asyncio.sleep(0.0005)

    def _flush(self) -> None:
        while self._late and self._free:
            number, due = self._late.popleft()
            self._free.popleft().send(number, self._requests[number], due)

    def _done(self, sender: Sender, status: bytes) -> None:
        if self._over.is_set():
            return
        self._under_way -= 1
        if status == b"200":
            self._acked.append((sender.number, sender.due, time.perf_counter()))
        else:
            self._refused[status.decode()] = self._refused.get(status.decode(), 0) + 1
        if status == b"hung up":
            self._over.set()
        elif self._order.rate is None:
            self._send(sender)
        else:
            self._free.append(sender)
            self._flush()
            if not self._under_way and self._next >= len(self._requests):
                self._over.set()

    def _answer(self, begin: float) -> Answer:
        """Count what was answered in the measured time, and time all that was sent in it, however late its answer."""
        answer = Answer(acked=[self._order.first + number for number, _, _ in self._acked], refused=self._refused)
        counted = [at for _, _, at in self._acked if begin <= at <= self._until]
        taken = sorted(at - due for _, due, at in self._acked if due >= begin)
        if counted and taken:
            answer.rate = len(counted) / (max(counted) - begin)
            answer.p50 = taken[len(taken) // 2]
            answer.p99 = taken[int(len(taken) * 0.99)]
            answer.worst = taken[-1]
        return answer


def main() -> None:
    order = Order(**json.load(sys.stdin))
    load = Load(order)
    # A timer of uvloop is a whole number of milliseconds, too coarse for an open loop.
    factory = uvloop.new_event_loop if order.rate is None else None
    with asyncio.Runner(loop_factory=factory) as runner:
        json.dump(asdict(runner.run(load.run())), sys.stdout)


if __name__ == "__main__":
    main()
