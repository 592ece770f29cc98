"""The tools of the emulated API and what they accept, under the current and the older parameter names.

A parameter that is null counts as left out; one that nobody knows is ignored. Ids are not looked up, so that
those of a real account work as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .api import ApiError, invalid
from .catalog import VOICES

Check = Callable[[Any], str | None]  #: what is wrong with a value, or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One `POST /v1/tools/<path>`."""

    path: str
    makes: str  #: IMAGE, VIDEO or AUDIO
    title: str  #: what its files are called
    needs: tuple[tuple[str, ...], ...]  #: of each group, one parameter at least
    takes: Mapping[str, Check] = field(default_factory=dict)
    watermark: bool = True  #: whether it knows `watermarkMode`

    @property
    def type(self) -> str:
        """The tool type in executions and events."""
        return self.path.upper().replace("-", "_")

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raise ApiError if VideoGen would not start this."""
        given = {name: value for name, value in parameters.items() if value is not None}
        for group in self.needs:
            if not any(name in given for name in group):
                raise invalid(f"{' or '.join(group)} is required")
        for name, value in given.items():
            check = self.takes.get(name) or _COMMON.get(name)
            if check and (problem := check(value)):
                raise invalid(f"{name} {problem}")
        if self.watermark:
            _check_watermark(given.get("watermarkMode", "AUTO"))


def _check_watermark(mode: Any) -> None:
    if mode not in ("AUTO", "VIDEO_GEN", "NONE"):
        raise invalid("watermarkMode must be one of AUTO, VIDEO_GEN, NONE")
    if mode == "NONE":
        raise ApiError(
            403,
            "Removing the watermark requires the Production API add-on.",
            code="not_authorized",
            requirement={"type": "purchase_add_on", "details": {"addOnId": "PRODUCTION_API"}},
        )


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text that is not empty"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "must be an object"


def _objects(value: Any) -> str | None:
    return None if isinstance(value, list) and not any(map(_object, value)) else "must be a list of objects"


def _texts(most: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, list) or any(map(_text, value)):
            return "must be a list of texts"
        return f"must have {most} entries or fewer" if most and len(value) > most else None

    return check


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"must be a number from {low} to {high}"

    return check


def _count(value: Any) -> str | None:
    return _number(1, 100)(value) if isinstance(value, int) else "must be a whole number"


def _one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


def _aspect_ratio(value: Any) -> str | None:
    side = _number(1, 1_000_000)
    good = isinstance(value, dict) and not side(value.get("width")) and not side(value.get("height"))
    return None if good else "must be an object with width and height"


def _voice(value: Any) -> str | None:
    known = VOICES.get(value) if isinstance(value, str) else None
    if known and not known["supportsDirectToolExecution"]:
        return "names a voice that this tool cannot use"
    return _text(value)


_QUALITY = _one_of("LOW", "STANDARD", "HIGH", "MAX")
_COMMON: dict[str, Check] = {
    "numResults": _count,
    "isOutputTemporary": _flag,
    "hideFromUi": _flag,
}
_IMAGE = {"imageFileId": _text, "imageStorageFileId": _text}
_VIDEO = {"videoFileId": _text, "videoStorageFileId": _text}
_CLIP_SOURCES = (
    "prompt", "startFrameFileId", "imageFileIds", "videoFileIds", "audioFileIds", "spokenDialogue",
    "videoFileId",
)  # fmt: skip

TOOLS = (
    Tool(
        path="generate-image",
        makes="IMAGE",
        title="Image",
        needs=(("prompt",),),
        takes={
            "prompt": _text,
            "imageFileIds": _texts(4),
            "entityIds": _texts(),
            "aspectRatio": _aspect_ratio,
            "quality": _QUALITY,
            "contentPolicyConfig": _object,
        },
    ),
    Tool(
        path="generate-video-clip",
        makes="VIDEO",
        title="Video clip",
        needs=(_CLIP_SOURCES,),
        takes={
            "prompt": _text,
            "startFrameFileId": _text,
            "imageFileIds": _texts(),
            "videoFileIds": _texts(),
            "videoFileId": _text,
            "audioFileIds": _texts(),
            "spokenDialogue": _text,
            "voiceDescription": _text,
            "generateAudio": _flag,
            "suppressBackgroundMusic": _flag,
            "durationSeconds": _number(1, 30),
            "aspectRatio": _aspect_ratio,
            "quality": _QUALITY,
        },
    ),
    Tool(
        path="generate-motion-graphic",
        makes="VIDEO",
        title="Motion graphic",
        needs=(("prompt",),),
        takes={
            "prompt": _text,
            "fileIds": _texts(),
            "entityIds": _texts(),
            "durationSeconds": _number(1, 300),
            "aspectRatio": _aspect_ratio,
            "transparentBackground": _flag,
            "subToolModes": _object,
        },
        watermark=False,
    ),
    Tool(
        path="text-to-speech",
        makes="AUDIO",
        title="Narration",
        needs=(("ttsText",), ("voiceId",)),
        takes={
            "ttsText": _text,
            "voiceId": _voice,
            "speechLanguageCode": _text,
            "pronunciationReplacements": _objects,
            "autoExpandPronunciationReplacements": _flag,
            "voiceSpeed": _number(0.5, 2),
        },
        watermark=False,
    ),
    Tool(
        path="generate-sound-effect",
        makes="AUDIO",
        title="Sound effect",
        needs=(("prompt",),),
        takes={"prompt": _text, "durationSeconds": _number(1, 30), "promptInfluence": _number(0, 1)},
        watermark=False,
    ),
    Tool(
        path="generate-music",
        makes="AUDIO",
        title="Music",
        needs=(("prompt",),),
        takes={"prompt": _text},
        watermark=False,
    ),
    Tool(
        path="generate-avatar",
        makes="VIDEO",
        title="Talking avatar",
        needs=(("actorEntityId", "avatarPresenterId"), ("audioFileId", "audioStorageFileId")),
        takes={
            "actorEntityId": _text,
            "avatarPresenterId": _text,
            "audioFileId": _text,
            "audioStorageFileId": _text,
            "avatarQuality": _QUALITY,
        },
    ),
    *(
        Tool(path=path, makes=makes, title=title, needs=(tuple(takes),), takes=takes)
        for path, makes, title, takes in (
            ("vectorize-image", "IMAGE", "Vector image", _IMAGE),
            ("remove-image-background", "IMAGE", "Image without background", _IMAGE),
            ("upscale-image", "IMAGE", "Upscaled image", _IMAGE),
            ("image-3d-effect", "VIDEO", "Image in motion", _IMAGE),
            ("remove-video-background", "VIDEO", "Video without background", _VIDEO),
            ("upscale-video", "VIDEO", "Upscaled video", _VIDEO),
        )
    ),
)
