"""One handler that came by `pip install`: it says in the log which files a job made."""

from receiver import Context, Event, handler


@handler("job.succeeded")
async def say_outputs(event: Event, context: Context) -> None:
    """Log one line per output."""
    for output in event.outputs:
        context.log.info("output", job=event.job_id, file=output.id)
