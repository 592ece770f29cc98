"""Write one line per event."""

from receiver import Context, Event, handler


@handler("*", retries=2, timeout=10)
async def log(event: Event, context: Context) -> None:
    """Log what happened, without the provider's own words: these may hold URLs that open files."""
    context.log.info(
        "event",
        id=event.id,
        source=event.source,
        type=event.type,
        kind=event.kind,
        job=event.job_id,
        tool=event.tool,
        road=event.road,
        outputs=len(event.outputs),
    )
