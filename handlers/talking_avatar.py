"""Let an avatar say what was said: a chain of two jobs, speech first, then the avatar.

    receiver jobs submit videogen text-to-speech ttsText="Hello" voiceId=… --meta actor=ACTOR_ENTITY_ID

Each step is submitted in the same transaction as the success of the one before, so a crash neither forgets nor
doubles it. The metadata goes along the whole chain; without an `actor` in it, nothing happens here.
"""

from receiver import Context, Event, GiveUp, handler


@handler("job.succeeded", source="videogen", tool="TEXT_TO_SPEECH")
async def talking_avatar(event: Event, context: Context) -> None:
    """Submit the avatar for a speech that was made for one."""
    actor = event.metadata.get("actor")
    if actor is None:
        return
    if not event.outputs:
        raise GiveUp("the speech has no file")
    job = await context.submit(
        "videogen",
        "generate-avatar",
        actorEntityId=actor,
        audioFileId=event.outputs[0].id,
        metadata={**event.metadata, "speech": event.job_id},
    )
    context.log.info("avatar_submitted", job=job)
