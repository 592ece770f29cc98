"""What is new, told to everybody who looks at a page: the store is asked once for all of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import structlog

from ..errors import Unavailable

log = structlog.get_logger(__name__)

#: Seconds between two looks at the store, and how many times longer than they keep the loop the rest after them is:
#: what the viewers cost is bounded, however slow the store is and however many they are.
TICK, REST = 1.0, 600.0

#: Seconds that it takes, about, to tell one viewer.
TELLING = 0.0001

#: Seconds after which viewers are told that we are still there, if their sessions are.
ALIVE = 20.0

#: Viewers at once, and messages that may wait for one of them: a slower one has to come again.
VIEWERS, BEHIND = 500, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that can be shown. It is told when `mark` is another than before; `render` makes its HTML."""

    id: str
    mark: object
    render: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A list, or one thing, that somebody watches."""

    chosen: Mapping[str, str]  #: what it is narrowed by
    told: Sequence[str] = ()  #: ids of what was there at the last look, the newest first
    since: float | None = None  #: when that began; None before the first look


#: How the store is asked: what is there of each, the newest first. One id looks the same wherever it is.
Look = Callable[[Sequence[Watched]], Awaitable[list[list[News]]]]

#: What a viewer chose, as it can be compared.
_Key = frozenset[tuple[str, str]]


@dataclass(eq=False, slots=True, kw_only=True)
class _Viewer:
    key: _Key
    session: str
    queue: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    ended: bool = False

    def tell(self, message: bytes) -> None:
        if self.ended:
            return
        if self.queue.qsize() >= BEHIND:
            self.end()
        else:
            self.queue.put_nowait(message)

    def end(self) -> None:
        self.ended = True
        self.queue.put_nowait(None)


class _Timed:
    """Work whose own time is told. While it waits, others have the loop: that is none of its cost."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self.spent = 0.0  #: seconds of this thread

    def __await__(self) -> Generator[Any, Any, None]:
        go: Callable[[Any], Any] = self._work.send
        said: Any = None
        while True:
            began = time.thread_time()
            try:
                waits = go(said)
            except StopIteration:
                return
            finally:
                self.spent += time.thread_time() - began
            try:
                go, said = self._work.send, (yield waits)
            except BaseException as error:  # noqa: BLE001 - passed on, whatever it is
                go, said = self._work.throw, error


class Topic:
    """One kind of news, looked for as long as somebody watches."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.viewers: set[_Viewer] = set()
        self._known: dict[_Key, dict[str, tuple[News, str]]] = {}  # by id, with its HTML; the newest first
        self._since: float | None = None
        self._task: asyncio.Task[None] | None = None

    def join(self, viewer: _Viewer) -> None:
        """Tell this viewer what is known, in case its page is older, and then what is new."""
        self.viewers.add(viewer)
        _tell([viewer], list(self._known.get(viewer.key, {}).values()))
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def leave(self, viewer: _Viewer) -> None:
        """Tell this viewer no more."""
        self.viewers.discard(viewer)
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._task, self._known = None, {}
            self._since = None

    async def _watch(self) -> None:
        rest = 0.0  # after the first look, which costs what no other does
        while True:
            looking = _Timed(self._tell_news())
            try:
                await looking
            except Unavailable as error:
                log.warning("live_pages_wait", error=str(error))
            await asyncio.sleep(max(TICK, rest * (looking.spent + TELLING * len(self.viewers))))
            rest = REST

    async def _tell_news(self) -> None:
        before, began = self._known, time.time()
        keys = {viewer.key for viewer in self.viewers}
        watched = {
            key: Watched(chosen=dict(key), told=list(before.get(key, ())), since=self._since if key in before else None)
            for key in keys
        }
        made: dict[str, str] = {}
        found = await self._look(list(watched.values()))
        self._known, self._since = {key: before.get(key, {}) for key in keys}, began
        for key, news in zip(watched, found, strict=True):
            fresh = await self._news(key, news, made)
            _tell([viewer for viewer in self.viewers if viewer.key == key], fresh)

    async def _news(self, key: _Key, found: list[News], made: dict[str, str]) -> list[tuple[News, str]]:
        """Return what is new or has changed, and remember it."""
        before, now, fresh = self._known[key], {}, []
        for news in found:
            known = before.get(news.id)
            if known is None or known[0].mark != news.mark:
                if news.id not in made:
                    made[news.id] = news.render()
                    await asyncio.sleep(0)  # no delivery waits for more than one of them
                known = news, made[news.id]
                fresh.append(known)
            now[news.id] = known
        self._known[key] = now
        return fresh


def _tell(viewers: Iterable[_Viewer], fresh: list[tuple[News, str]]) -> None:
    """Tell viewers what is new, all in one message, the oldest first."""
    if fresh:
        message = _message("news", "\n".join(html for _, html in reversed(fresh)))
        for viewer in viewers:
            viewer.tell(message)


class Live:
    """The topics, and who watches them. `hold` returns those sessions of some that are not over."""

    def __init__(self, topics: Mapping[str, Look], *, hold: Callable[[Set[str]], Awaitable[Set[str]]]) -> None:
        self._topics = {name: Topic(look) for name, look in topics.items()}
        self._hold = hold
        self._task: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(len(topic.viewers) for topic in self._topics.values())

    def has(self, topic: str) -> bool:
        """Whether there is such a topic."""
        return topic in self._topics

    async def watch(self, topic: str, chosen: Mapping[str, str], *, session: str) -> AsyncIterator[bytes]:
        """Yield server-sent events until the session ends or the receiver stops."""
        viewer = _Viewer(key=frozenset(chosen.items()), session=session)
        self._topics[topic].join(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._stay())
        try:
            yield b"retry: 3000\n\n"
            while (message := await viewer.queue.get()) is not None:
                yield message
        finally:
            self._topics[topic].leave(viewer)
            if not self.viewers and self._task is not None:
                self._task.cancel()
                self._task = None

    def end(self, session: str | None = None) -> None:
        """End what a session watches; without one, what anybody does."""
        for viewer in self._all():
            if session in (None, viewer.session):
                viewer.end()

    async def _stay(self) -> None:
        """Tell everybody again and again that we are still there, and end what is watched without a session."""
        while True:
            await asyncio.sleep(ALIVE)
            sessions = {viewer.session for viewer in self._all()}
            try:
                held = await self._hold(sessions)
            except Unavailable:
                held = sessions  # nothing is told meanwhile
            for viewer in self._all():
                if viewer.session in held:
                    viewer.tell(b": still there\n\n")
                elif viewer.session in sessions:
                    viewer.end()

    def _all(self) -> list[_Viewer]:
        return [viewer for topic in self._topics.values() for viewer in topic.viewers]


def _message(event: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {event}\n{lines}\n".encode()
