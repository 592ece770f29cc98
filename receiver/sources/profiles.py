"""The providers that are known as data, and how sure each is. What is open is left out, or named in `doubts`.

A profile takes deliveries once a secret of it is there, in `<NAME>_WEBHOOK_SECRET` or stored. One whose facts are not
sure also wants `<NAME>_WEBHOOK_CONFIRMED=1` from somebody who has seen a delivery verify. Of providers that sign
nothing, or less than the body, a delivery is a hint at most: they are asked, once it is set how.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from ..errors import ConfigError
from ..events import Kind
from ..schemes import STANDARD, Scheme
from ..settings import Provider
from .hinted import Hinted
from .profile import Ends, Profile

STANDARD_ED25519 = Scheme(
    kind="ed25519",
    template="{id}.{ts}.{body}",
    header="webhook-signature",
    container="list",
    label="v1a",
    encoding="base64",
    stamp="webhook-timestamp",
    id="webhook-id",
    strip="whpk_",
)
SVIX = Scheme(
    kind="hmac",
    template="{id}.{ts}.{body}",
    header="svix-signature",
    container="list",
    label="v1",
    encoding="base64",
    stamp="svix-timestamp",
    id="svix-id",
    key="base64",
)


def stripe_like(header: str, *, label: str = "v1", template: str = "{ts}.{body}", past: float = 300) -> Scheme:
    """Return the scheme of `t=…,v1=…` in one header, over the timestamp and the body."""
    return Scheme(kind="hmac", header=header, container="fields", label=label, template=template, past=past)


def github_like(header: str, *, prefix: str = "sha256=") -> Scheme:
    """Return the scheme of a hexadecimal HMAC of the body in one header. Nothing in it says when it was signed."""
    return Scheme(kind="hmac", header=header, container="prefix", label=prefix)


def bearer(header: str, prefix: str = "") -> Scheme:
    """Return the scheme of a fixed value in one header. It tells who sends, not what."""
    return Scheme(kind="equals", header=header, container="prefix", label=prefix, trust="sender")


_SPECIFICATION = "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"

UNSIGNED = Scheme(kind="none", trust="nothing")


def _ends(succeeded: str, failed: str = "", cancelled: str = "") -> Ends:
    words: dict[Kind, str] = {"job.succeeded": succeeded, "job.failed": failed, "job.cancelled": cancelled}
    return {word: kind for kind, text in words.items() for word in text.split()}


def _plain(name: str, scheme: Scheme, facts: str) -> Profile:
    """Return the profile of a sender of whom only the way it signs is known. It is read by a convention of ours."""
    return Profile(
        name=name,
        scheme=scheme,
        certainty="confirmed",
        facts=facts,
        event="/type|/event|/event_type|/status|/state",
        job="/data/id|/id|/job_id",
        state="/data/status|/status|/state",
        ends=_ends("succeeded completed", "failed error", "cancelled canceled"),
    )


PROFILES = (
    _plain("standard", STANDARD, _SPECIFICATION),
    _plain("standard_ed25519", STANDARD_ED25519, _SPECIFICATION),
    _plain("svix", SVIX, "https://docs.svix.com"),
    Profile(
        name="replicate", scheme=STANDARD, certainty="confirmed",
        facts="https://replicate.com/docs/topics/webhooks/verify-webhook",
        job="/id", state="/status", ends=_ends("succeeded", "failed", "canceled"),
        outputs="/output/*", error="/error", lifetime=3600,
    ),
    Profile(
        name="openai", scheme=STANDARD, certainty="confirmed",
        facts="https://platform.openai.com/docs/guides/webhooks",
        event="/type", job="/data/id", state="/type", ends=_ends("video.completed", "video.failed"),
    ),
    Profile(
        name="gemini", scheme=STANDARD, certainty="confirmed",
        facts="https://ai.google.dev/gemini-api/docs/webhooks",
        event="/type", job="/data/id", state="/type",
        ends=_ends("video.generated batch.succeeded", "batch.failed batch.expired", "batch.cancelled"),
        error="/data/error_message",  # where its file is, its documents and the news about them tell differently
    ),
    Profile(
        name="gemini_jwt",
        scheme=Scheme(
            kind="jwt", header="webhook-signature", trust="id",
            jwks="https://generativelanguage.googleapis.com/.well-known/jwks.json",
        ),
        certainty="unknown",
        facts="https://ai.google.dev/gemini-api/docs/webhooks",
        doubts="what `aud` is, and whether the token binds the body",
        event="/type", job="/data/id", state="/type",
        ends=_ends("video.generated batch.succeeded", "batch.failed batch.expired", "batch.cancelled"),
        error="/data/error_message",
    ),
    Profile(
        name="higgsfield", scheme=STANDARD, certainty="confirmed",
        facts="https://docs.higgsfield.ai/docs/enterprise/webhook-security.md",
        job="/request_id", state="/status", ends=_ends("completed", "failed nsfw"),
        error="/status",
        waits=10,
    ),
    Profile(
        name="wavespeed",
        scheme=Scheme(
            kind="hmac", template="{id}.{ts}.{body}", header="webhook-signature", container="list", label="v3",
            stamp="webhook-timestamp", id="webhook-id", strip="whsec_",
        ),
        certainty="confirmed", facts="https://wavespeed.ai/docs/verify-webhooks",
        job="/id", state="/status", ends=_ends("completed", "failed"), outputs="/outputs/*", error="/error",
    ),
    Profile(
        name="pollo",
        scheme=Scheme(
            kind="hmac", template="{id}.{ts}.{body}", header="x-webhook-signature", encoding="base64",
            stamp="x-webhook-timestamp", id="x-webhook-id", key="base64",
        ),
        certainty="unknown", facts="https://docs.pollo.ai/webhooks",
        doubts="the unit of the timestamp (taken for seconds)",
        job="/taskId", state="/status", ends=_ends("succeed", "failed"),
    ),
    Profile(
        name="fal",
        scheme=Scheme(
            kind="ed25519", header="x-fal-webhook-signature", stamp="x-fal-webhook-timestamp",
            template="{header:x-fal-webhook-request-id}\n{header:x-fal-webhook-user-id}\n{ts}\n{body_sha256}",
            account="x-fal-webhook-user-id", jwks="https://rest.fal.ai/.well-known/jwks.json",
        ),
        certainty="confirmed", facts="https://docs.fal.ai/model-apis/model-endpoints/webhooks",
        job="/request_id", state="/status", ends=_ends("ok", "error"),
        outputs="/payload/images/*/url|/payload/video/url", error="/error",
        waits=15,
    ),
    Profile(
        name="openrouter", scheme=stripe_like("x-openrouter-signature", template="{ts},{body}"),
        certainty="confirmed", facts="https://openrouter.ai/docs/guides/overview/multimodal/video-generation",
        event="/type", job="/data/id", state="/data/status",
        ends=_ends("completed", "failed expired", "cancelled"),
        outputs="/data/unsigned_urls/*", error="/data/error",
    ),
    Profile(
        name="elevenlabs", scheme=stripe_like("elevenlabs-signature", label="v0", past=1800), certainty="confirmed",
        facts="https://elevenlabs.io/docs/overview/administration/webhooks",
        # Which of its events ends a job that was asked for is not documented, so none does.
        event="/type", job="/data/request_id|/data/conversation_id|/request_id", state="/type", ends={},
        occurred="/event_timestamp",
        answer="200",
    ),
    Profile(
        name="mux", scheme=stripe_like("mux-signature"), certainty="confirmed",
        facts="https://www.mux.com/docs/core/verify-webhook-signatures",
        event="/type", job="/object/id|/data/id", state="/type",
        ends=_ends("video.asset.ready", "video.asset.errored"),
        waits=5,
    ),
    Profile(
        name="sync", scheme=stripe_like("sync-signature"), certainty="unknown",
        facts="https://sync.so/docs/api-reference/guides/webhooks",
        doubts="the label of the signature (v1 or s) and the header's name",
        job="/id", state="/status", ends=_ends("completed", "failed"), outputs="/outputUrl", error="/error",
    ),
    Profile(
        name="synthesia",
        scheme=Scheme(kind="hmac", template="{ts}.{body}", header="synthesia-signature", stamp="synthesia-timestamp"),
        certainty="unknown", facts="https://docs.synthesia.io/reference/verifying-synthesia-signatures",
        doubts="whether the digest is hexadecimal, and whether there is a video.failed",
        event="/type", job="/data/id", state="/type", ends=_ends("video.completed", "video.failed"),
        outputs="/data/download",
        waits=6,
    ),
    Profile(
        # Its timestamp and event id are not signed: they prove nothing, the digest of the body is the message's id.
        name="heygen", scheme=Scheme(kind="hmac", header="heygen-signature"), certainty="told",
        facts="https://developers.heygen.com/docs/webhooks",
        event="/event_type", job="/event_data/video_id", state="/event_type",
        ends=_ends("avatar_video.success video_translate.success", "avatar_video.fail"), outputs="/event_data/url",
    ),
    Profile(
        name="bfl", scheme=github_like("x-bfl-signature"), certainty="confirmed",
        facts="https://github.com/black-forest-labs/skills",
        job="/id", state="/status", ends=_ends("ready", "error"), outputs="/result/sample", error="/error|/message",
        lifetime=600, waits=30,
    ),
    Profile(
        name="pyannote",
        scheme=Scheme(kind="hmac", template="v0:{ts}:{body}", header="x-signature", stamp="x-request-timestamp"),
        certainty="unknown", facts="https://docs.pyannote.ai/webhooks",
        doubts="whether the digest is hexadecimal or base64, and how it tells a job's state (no end is read)",
        job="/jobId", state="/status", ends={},
        waits=10,
    ),
    Profile(
        name="cloudinary",
        scheme=Scheme(
            kind="hash", digest="sha1", template="{body}{ts}{secret}", header="x-cld-signature",
            stamp="x-cld-timestamp", past=7200,
        ),
        certainty="unknown", facts="https://github.com/cloudinary/pycloudinary",
        doubts="whether the digest is SHA-1, and where its JSON has the event and the job",
        event="/notification_type", job="/asset_id", state="/notification_type", ends={},
    ),
    Profile(
        name="kie",
        scheme=Scheme(
            kind="hmac", template="{json:/data/task_id|/data/taskId|/taskId}.{ts}", header="x-webhook-signature",
            encoding="base64", stamp="x-webhook-timestamp", trust="id",
        ),
        certainty="confirmed", facts="https://docs.kie.ai/common-api/webhook-verification",
        job="/data/task_id|/data/taskId|/taskId", state="/data/state", ends=_ends("success", "fail"),
        outputs="/data/resultJson/{json}/resultUrls/*|/data/data/*/audio_url|/data/video_url",
        error="/data/failMsg|/msg",
        answer="200", waits=15,
    ),
    Profile(
        name="assemblyai", scheme=bearer("x-webhook-token"), certainty="unknown",
        doubts="the header, which you choose there: x-webhook-token, or set ASSEMBLYAI_WEBHOOK_SCHEME=token:HEADER",
        facts="https://github.com/AssemblyAI/assemblyai-api-spec",
        job="/transcript_id", state="/status", ends=_ends("completed", "error"),
        waits=10,
    ),
    Profile(
        name="leonardo", scheme=bearer("authorization", "Bearer "), certainty="told",
        facts="https://docs.leonardo.ai/docs/guide-to-the-webhook-callback-feature",
        event="/type", job="/data/object/id", state="/data/object/status", ends=_ends("complete", "failed"),
        outputs="/data/object/images/*/url",
    ),
    Profile(
        name="deepgram",
        scheme=Scheme(
            kind="basic", header="authorization", container="prefix", label="Basic ", encoding="base64", trust="sender"
        ),
        certainty="unknown", facts="https://github.com/deepgram/deepgram-docs",
        doubts="where the callback has the id of its request",
        job="/metadata/request_id", state="/metadata/request_id", ends={},
        media="any",  # it sends what it made, and that may be sound
    ),
    Profile(
        name="minimax", scheme=UNSIGNED, certainty="confirmed",
        facts="https://platform.minimax.io/docs/api-reference/video-generation-s2v",
        job="/task_id", state="/status", ends=_ends("success", "failed fail"), error="/base_resp/status_msg",
        handshake="challenge", waits=3,
    ),
    Profile(
        name="luma", scheme=UNSIGNED, certainty="confirmed",
        facts="https://docs.lumalabs.ai/changelog/callbacks-and-credits-balance",
        job="/id", state="/state", ends=_ends("completed", "failed"),
        outputs="/assets/video|/assets/image", error="/failure_reason",
        answer="200", waits=5,
    ),
    Profile(
        name="kling", scheme=UNSIGNED, certainty="told", facts="mirrors of the callback protocol",
        job="/task_id", state="/task_status", ends=_ends("succeed", "failed"),
        outputs="/task_result/videos/*/url|/task_result/images/*/url", error="/task_status_msg",
    ),
    Profile(
        name="shotstack", scheme=UNSIGNED, certainty="told", facts="https://community.shotstack.io/t/248",
        job="/render|/id", state="/status", ends=_ends("done"), outputs="/url", error="/error",
    ),
    Profile(
        name="creatomate", scheme=UNSIGNED, certainty="unknown",
        facts="https://creatomate.com/docs/api/reference/set-up-a-webhook", doubts="its words for a job's state",
        job="/id", state="/status", ends={}, outputs="/url",
    ),
    Profile(
        name="tavus", scheme=UNSIGNED, certainty="told",
        facts="https://docs.tavus.io/sections/webhooks-and-callbacks",
        job="/video_id", state="/status", ends=_ends("ready", "error"), outputs="/download_url",
        error="/status_details",
    ),
)  # fmt: skip

_WHOLE = {"standard": STANDARD, "unsigned": UNSIGNED}
_STYLES: dict[str, Callable[[str], Scheme]] = {"github": github_like, "stripe": stripe_like, "token": bearer}


def usable(providers: Mapping[str, Provider]) -> dict[str, Profile]:
    """Return the profiles that may deliver once a secret of theirs is there, and those that settings describe, by name.

    Raises ConfigError for one that has a secret or a status URL in the settings and cannot be used as it is.
    """
    known = {profile.name: profile for profile in PROFILES}
    said = {
        name: _said(name, one.webhook_scheme, known.get(name)) for name, one in providers.items() if one.webhook_scheme
    }
    found = {}
    for name, profile in {**known, **said}.items():
        provider = providers.get(name, Provider())
        trouble = why_not(profile, provider)
        if trouble is None:
            found[name] = _ready(profile, provider)
        elif variable := _set(provider):
            raise ConfigError(f"{name.upper()}_{variable} is set, but {trouble}")
    return found


def _set(provider: Provider) -> str | None:
    given = {
        "WEBHOOK_SECRET": provider.webhook_secrets,
        "STATUS_URL": provider.status_url,
        "WEBHOOK_ACCOUNT": provider.webhook_account,
    }
    return next((variable for variable, value in given.items() if value), None)


def believed(profile: Profile) -> bool:
    """Whether what a genuine delivery says counts; else its provider is asked."""
    return profile.scheme.trust in ("body", "sender")


def why_not(profile: Profile, provider: Provider) -> str | None:
    """Return why a profile's deliveries cannot be trusted as it is, and what to do; None if they can."""
    variable = profile.name.upper()
    if not believed(profile) and not (provider.status_url and provider.api_key):
        return (
            f"{profile.name} does not sign what it sends ({profile.facts}), so its deliveries cannot be trusted: it "
            f"must be asked, with {variable}_STATUS_URL and {variable}_API_KEY; see docs/sources.md"
        )
    if profile.scheme.jwks and not provider.webhook_account:
        return (
            f"{profile.name} signs for all its customers with the same keys: say whose deliveries are meant with "
            f"{variable}_WEBHOOK_ACCOUNT; its keys are fetched, no secret is needed"
        )
    if profile.certainty == "unknown" and not provider.webhook_confirmed:
        return (
            f"of {profile.name} it is not known for sure: {profile.doubts}; check {profile.facts} against a delivery "
            f"of your own, then set {variable}_WEBHOOK_CONFIRMED=1"
        )
    return None


def _ready(profile: Profile, provider: Provider) -> Profile:
    """Return a profile with what the settings say of it."""
    if profile.scheme.jwks:
        profile = replace(profile, scheme=replace(profile.scheme, audience=provider.webhook_account))
    if believed(profile):
        return profile
    values = {field.name: getattr(profile, field.name) for field in fields(profile)}
    return Hinted(**values, status_url=provider.status_url or "")


def _said(name: str, text: str, known: Profile | None) -> Profile:
    """Return the profile of a provider whose scheme the settings tell; what it sends is read as it is known to be."""
    style, _, header = text.partition(":")
    variable = f"{name.upper()}_WEBHOOK_SCHEME"
    if style in _WHOLE and not header:
        scheme = _WHOLE[style]
    elif style in _STYLES and header:
        scheme = _STYLES[style](header.lower())
    else:
        styles = [*_WHOLE, *(f"{style}:HEADER" for style in _STYLES)]
        raise ConfigError(f"{variable} must be {', '.join(styles[:-1])} or {styles[-1]}")
    if known is None:
        return _plain(name, scheme, variable)
    return replace(known, scheme=scheme, certainty="confirmed", doubts=None, facts=variable)
