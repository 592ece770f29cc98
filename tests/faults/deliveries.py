"""Deliveries by number: each has one message id and one body, the same whenever it is sent again.

Delivery 7 tells that job 7 succeeded; delivery -7 contradicts it, and tells that the same job failed.
"""

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
    """Return the JSON of delivery `number`: how a job of its own ended."""
    tool = BAD[number % len(BAD)] if 0 <= number < 1000 else "GENERATE_SOUND_EFFECT"
    job = {"toolExecutionId": f"vg_tool_{abs(number)}", "occurredAt": 1793232000, "toolType": tool}
    if number < 0:
        return json.dumps({"event": "tool_execution.failed", **job, "error": {"message": "no", "code": "x"}}).encode()
    return json.dumps({"event": "tool_execution.succeeded", **job, "results": []}).encode()


def headers(number: int, *, stamp: int | None = None) -> dict[str, str]:
    """Return the headers of delivery `number`, signed now or at `stamp`, Unix seconds."""
    stamp = int(time.time()) if stamp is None else stamp
    return {
        "content-type": "application/json",
        "webhook-id": message_id(number),
        "webhook-timestamp": str(stamp),
        "webhook-signature": signatures.sign(KEY, id=message_id(number), timestamp=stamp, body=body(number)),
    }
