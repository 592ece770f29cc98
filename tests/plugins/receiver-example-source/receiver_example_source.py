"""A provider that the receiver does not know, as data: how it signs, and where its JSON says what.

Atelier signs `time:body` and sends

    Atelier-Time: 1793232000
    Atelier-Signature: k1=<base64 of the HMAC-SHA256>

    {"event": "render.ended", "render": {"id": "r1", "state": "done", "files": [{"link": "https://…"}]}}

Its secret goes into ATELIER_WEBHOOK_SECRET or `receiver secrets add atelier`, its deliveries to /webhooks/atelier.
A provider with an API to submit to and to ask is a class with a `client`: see receiver/sources/__init__.py.
"""

from receiver.schemes import Scheme
from receiver.sources.profile import Profile

atelier = Profile(
    name="atelier",
    scheme=Scheme(
        kind="hmac",
        template="{ts}:{body}",
        header="atelier-signature",
        container="prefix",
        label="k1=",
        encoding="base64",
        stamp="atelier-time",
    ),
    certainty="confirmed",
    facts="https://atelier.example/docs/webhooks",
    event="/event",
    job="/render/id",
    state="/render/state",
    ends={"done": "job.succeeded", "spoilt": "job.failed"},
    outputs="/render/files/*/link",
    error="/render/reason",
)
