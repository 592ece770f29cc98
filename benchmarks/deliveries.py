"""Deliveries as VideoGen sends them: about 1.3 KB of JSON, each with ids of its own, signed beforehand.

Ids begin with a time and go on at random: VideoGen's job ids look so; for its message ids it is a guess.
"""

import hashlib
import json
import time

from receiver import signatures

SECRET = "whsec_YmVuY2htYXJrLWtleS0wMDEtYmVuY2htYXJrLWtleQ=="
KEY = signatures.decode_secret(SECRET)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_JOB = "vg_tool_" + "0" * 25


def _url(name: str) -> str:
    return f"https://storage.example.invalid/vg_file_Zx81qLr0TKe-5s_Wn2mYAg/{name}?X-Signature={'5f' * 46}"


def _template() -> bytes:
    expires = 1893836800
    source = {"status": "ready", "url": _url("original.mp4"), "expiresAt": expires, "width": 1920, "height": 1080}
    file = {
        "fileId": "vg_file_Zx81qLr0TKe-5s_Wn2mYAg",
        "type": "VIDEO",
        "scope": "GLOBAL",
        "displayName": "Talking avatar",
        "durationSeconds": 14.2,
        "transcript": None,
        "downloadSource": source | {"fileBytes": 18234511},
        "isPublicPreviewEnabled": False,
        "sourceToolType": "GENERATE_AVATAR",
        "sourceToolExecutionId": _JOB,
    }
    result = {
        "fileId": file["fileId"],
        "type": "VIDEO",
        "downloadUrl": _url("original.mp4"),
        "downloadUrlExpiresAt": expires,
        "thumbnailUrl": _url("thumb.jpg"),
        "thumbnailUrlExpiresAt": expires,
        "file": file,
    }
    return json.dumps(
        {
            "event": "tool_execution.succeeded",
            "toolExecutionId": _JOB,
            "occurredAt": 1793232000,
            "toolType": "GENERATE_AVATAR",
            "results": [result],
        }
    ).encode()


TEMPLATE = _template()

#: The headers of a delivery as they are kept, for events that are put into the store directly.
HEADERS = "content-type: application/json\nuser-agent: VideoGen-Webhooks/1.0\nwebhook-id: msg_".ljust(300, "0")


def message_id(number: int) -> str:
    """Return the `webhook-id` of delivery `number`: like a KSUID, 27 characters of which the first tell the second."""
    return f"msg_{_time(number // 1000, 6)}{_noise(b'message', number, 21)}"


def job_id(number: int) -> str:
    """Return the job of delivery `number`: like a CUID, 24 characters of which the first tell the millisecond."""
    return f"vg_tool_c{_time(number, 8)}{_noise(b'job', number, 16)}"


def _time(number: int, width: int) -> str:
    """Return a number in base 36, as text that sorts like it. Delivery 0 is far from both ends."""
    number += 36**width // 2
    return "".join(_DIGITS[number // 36**place % 36] for place in range(width - 1, -1, -1))


def _noise(about: bytes, number: int, width: int) -> str:
    return hashlib.blake2b(b"%d" % number, digest_size=16, person=about).hexdigest()[:width]


def body(number: int) -> bytes:
    """Return the JSON of delivery `number`."""
    return TEMPLATE.replace(_JOB.encode(), job_id(number).encode())


def request(number: int) -> bytes:
    """Return the whole HTTP request of delivery `number`, signed now."""
    content, stamp, name = body(number), int(time.time()), message_id(number)
    signature = signatures.sign(KEY, id=name, timestamp=stamp, body=content)
    head = (
        "POST /webhooks/videogen HTTP/1.1\r\n"
        "host: 127.0.0.1\r\n"
        "user-agent: VideoGen-Webhooks/1.0\r\n"
        "accept: */*\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(content)}\r\n"
        f"webhook-id: {name}\r\n"
        f"webhook-timestamp: {stamp}\r\n"
        f"webhook-signature: {signature}\r\n\r\n"
    )
    return head.encode() + content
