"""A handler with options that came by `pip install`: `receiver.toml` uses it, without code."""

from collections.abc import Awaitable, Callable

from pydantic import BaseModel, Field

from receiver import Context, Event, configurable


class Say(BaseModel):
    """The options of `say`."""

    word: str = Field(description="What to say.")


@configurable(timeout=5)
def say(options: Say) -> Callable[[Event, Context], Awaitable[None]]:
    """Log a word of yours for each event."""

    async def handle(event: Event, context: Context) -> None:
        context.log.info(options.word, job=event.job_id)

    return handle
