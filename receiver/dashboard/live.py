"""What is new, told to everybody who looks at a page: the store is asked once for all of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from ..errors import Unavailable

log = structlog.get_logger(__name__)

#: Seconds between two looks at the store, and how many times longer than a look the rest after it is: what the viewers
#: cost is bounded, however slow the store is.
TICK, REST = 1.0, 50.0

#: Seconds of silence after which a viewer is told that we are still there, and asked whether its session is.
ALIVE = 20.0

#: Viewers at once, and news that may wait for one of them: a slower one has to come again.
VIEWERS, BEHIND = 500, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that can be shown. It is told when `mark` is another than before; `render` makes its HTML."""

    id: str
    mark: object
    render: Callable[[], str]
    facts: Mapping[str, str] = field(default_factory=dict)  #: what viewers may choose by


#: How the store is asked: for all the things of a topic, or of those ids that somebody looks at.
Look = Callable[[Iterable[str]], Awaitable[list[News]]]


@dataclass(eq=False, slots=True, kw_only=True)
class _Viewer:
    chosen: Mapping[str, str]  # facts that news must have
    session: str
    queue: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    ended: bool = False

    def wants(self, news: News) -> bool:
        return self.chosen.items() <= news.facts.items()

    def tell(self, message: str) -> None:
        if self.ended:
            return
        if self.queue.qsize() >= BEHIND:
            self.end()
        else:
            self.queue.put_nowait(message)

    def end(self) -> None:
        self.ended = True
        self.queue.put_nowait(None)


class Topic:
    """One kind of news, looked for as long as somebody watches."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.viewers: set[_Viewer] = set()
        self._known: dict[str, tuple[News, str]] = {}  # by id, with the message about it
        self._task: asyncio.Task[None] | None = None

    def join(self, viewer: _Viewer) -> None:
        """Tell this viewer what is known, in case its page is older, and then what is new."""
        self.viewers.add(viewer)
        for news, message in reversed(self._known.values()):
            if viewer.wants(news):
                viewer.tell(message)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def leave(self, viewer: _Viewer) -> None:
        """Tell this viewer no more."""
        self.viewers.discard(viewer)
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._task, self._known = None, {}

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._tell(await self._look({viewer.chosen.get("id", "") for viewer in self.viewers} - {""}))
            except Unavailable as error:
                log.warning("live_pages_wait", error=str(error))
            await asyncio.sleep(max(TICK, REST * (time.monotonic() - began)))

    def _tell(self, found: list[News]) -> None:
        before, self._known = self._known, {}
        fresh = []
        for news in found:
            known = before.get(news.id)
            if known is None or known[0].mark != news.mark:
                known = news, _message("news", news.render())
                fresh.append(known)
            self._known[news.id] = known
        for news, message in reversed(fresh):  # the oldest first
            for viewer in self.viewers:
                if viewer.wants(news):
                    viewer.tell(message)


class Live:
    """The topics, and who watches them. `holds` says whether a session is not over."""

    def __init__(self, topics: Mapping[str, Look], *, holds: Callable[[str], Awaitable[bool]]) -> None:
        self._topics = {name: Topic(look) for name, look in topics.items()}
        self._holds = holds

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(len(topic.viewers) for topic in self._topics.values())

    def has(self, topic: str) -> bool:
        """Whether there is such a topic."""
        return topic in self._topics

    async def watch(self, topic: str, chosen: Mapping[str, str], *, session: str) -> AsyncIterator[str]:
        """Yield server-sent events until the session ends or the receiver stops."""
        viewer = _Viewer(chosen=chosen, session=session)
        self._topics[topic].join(viewer)
        try:
            yield "retry: 3000\n\n"
            while True:
                try:
                    async with asyncio.timeout(ALIVE):
                        message = await viewer.queue.get()
                except TimeoutError:
                    message = ": still there\n\n" if await self._holds_still(session) else None
                if message is None:
                    return
                yield message
        finally:
            self._topics[topic].leave(viewer)

    def end(self, session: str | None = None) -> None:
        """End what a session watches; without one, what anybody does."""
        for topic in self._topics.values():
            for viewer in topic.viewers:
                if session in (None, viewer.session):
                    viewer.end()

    async def _holds_still(self, session: str) -> bool:
        try:
            return await self._holds(session)
        except Unavailable:
            return True  # nothing is told meanwhile


def _message(event: str, text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {event}\n{lines}\n"
