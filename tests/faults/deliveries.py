"""Deliveries by number: each has one message id and one body, the same whenever it is sent again."""

import json
import time

from receiver import signatures

from ..conftest import SECRET

#: Tools of the deliveries below 1000, in turn: each has a handler that misbehaves in this way.
BAD = ("RAISES", "HANGS", "HANGS_IN_A_THREAD", "EATS_MEMORY", "LEAVES", "RETURNS_JUNK", "EXITS", "BLOCKS")

KEY = signatures.decode_secret(SECRET)


def message_id(number: int) -> str:
    """Return the `webhook-id` of delivery `number`."""
    return f"msg_{number}"


def body(number: int) -> bytes:
    """Return the JSON of delivery `number`: a finished job of its own."""
    tool = BAD[number % len(BAD)] if number < 1000 else "GENERATE_SOUND_EFFECT"
    return json.dumps(
        {
            "event": "tool_execution.succeeded",
            "toolExecutionId": f"vg_tool_{number}",
            "occurredAt": 1793232000,
            "toolType": tool,
            "results": [],
        }
    ).encode()


def headers(number: int, *, stamp: int | None = None) -> dict[str, str]:
    """Return the headers of delivery `number`, signed now or at `stamp`, Unix seconds."""
    stamp = int(time.time()) if stamp is None else stamp
    return {
        "content-type": "application/json",
        "webhook-id": message_id(number),
        "webhook-timestamp": str(stamp),
        "webhook-signature": signatures.sign(KEY, id=message_id(number), timestamp=stamp, body=body(number)),
    }
