"""What VideoGenAPI takes. Its documents disagree about models and aspect ratios, so these are not checked.

Source: https://videogenapi.com/docs (read 2026-11).
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Url = Annotated[str, StringConstraints(pattern="^https?://")]


class TextToVideo(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    model: str | None = None
    duration: int | None = Field(None, ge=5, le=60)
    resolution: str | None = None
    seed: int | None = Field(None, ge=-1)
    camera_fixed: bool = False
    add_audio: bool = False
    audio_prompt: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if value is not None}


class ImageToVideo(TextToVideo):
    image_url: Url


class MultiImageToVideo(TextToVideo):
    reference_image_urls: Annotated[list[Url], Field(min_length=1, max_length=5)]
    veo_model: str | None = None
