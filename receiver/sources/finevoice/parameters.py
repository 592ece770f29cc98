"""What FineVoice's calls take. It marks no field as required: only types and ranges that it states are checked.

Source: https://api.finevoice.ai/api-reference (read 2026-11).
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Given(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if value is not None}


class Queued(Given):
    useAsync: bool = True


class SoundEffect(Queued):
    prompt: str | None = None
    negative_prompt: str | None = None
    sourceUrl: str | None = None
    sourceType: Literal["image", "video"] | None = None
    duration: float | None = Field(None, gt=0, le=30)

    @model_validator(mode="after")
    def _a_source_has_a_type(self) -> Self:
        if self.sourceUrl and not self.sourceType:
            raise ValueError("sourceType is required with sourceUrl")
        return self


class Speech(Given):
    voice: str | None = None
    text: str | None = None


class VoiceConversion(Queued):
    voice: str | None = None
    sourceUrl: str | None = None
    outputFormat: Literal["mp3", "wav"] | None = None


class Transcript(Queued):
    url: str | None = None
    format: Literal["srt", "vtt", "json", "txt"] | None = None
    engine: Literal["whisper", "funasr"] | None = None


class Separation(Queued):
    sourceUrl: str | None = None
    model: Literal["vocal-remover", "htdemucs_6s-4", "reverb"] | None = None


class Podcast(Queued):
    text: str | None = None
    prompt: str | None = None
    speakers: list[Any] = []


class Anything(Given):
    pass
