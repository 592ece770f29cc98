import asyncio

from structlog.testing import capture_logs

from receiver.emulator.background import Background


async def test_settled_waits_for_the_work_that_work_starts() -> None:
    done: list[str] = []

    async with Background() as background:

        async def inner() -> None:
            await asyncio.sleep(0)
            done.append("inner")

        async def outer() -> None:
            await asyncio.sleep(0)
            background.start(inner())
            done.append("outer")

        background.start(outer())
        await background.settled()
        assert done == ["outer", "inner"]


async def test_work_that_dies_is_logged_and_takes_nothing_along() -> None:
    done: list[str] = []

    async def bad() -> None:
        raise RuntimeError("broken")

    async def good() -> None:
        await asyncio.sleep(0)
        done.append("good")

    with capture_logs() as logs:
        async with Background() as background:
            background.start(bad())
            background.start(good())
            await background.settled()
    assert done == ["good"]
    assert [(line["event"], str(line["exc_info"])) for line in logs] == [("background_died", "broken")]


async def test_work_ends_with_the_block() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Background() as background:
        background.start(endless())
        await asyncio.sleep(0)
    assert ended.is_set()
