"""Write one line per event."""

from receiver import Context, Event, handler


@handler("*", retries=2, timeout=10)
async def log(event: Event, context: Context) -> None:
    """Log what happened, without the provider's own words: these may hold URLs that open files.

    The ids of the event, its job and this run are in every line of a handler's.
    """
    context.log.info(
        "event",
        source=event.source,
        type=event.type,
        kind=event.kind,
        tool=event.tool,
        road=event.road,
        outputs=len(event.outputs),
    )
