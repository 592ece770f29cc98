"""What VideoGen's tools take. What is certainly wrong is refused here; what is not known passes.

Source: https://docs.videogen.io (read 2026-10), under the current names and those of before July 2026.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model, model_validator

Text = Annotated[str, StringConstraints(min_length=1)]
Texts = list[Text]
Quality = Literal["LOW", "STANDARD", "HIGH", "MAX"]
Switch = Literal["AUTO", "ENABLED", "DISABLED"]


class Given(BaseModel):
    """Parameters as a program gives them: types are not guessed at, a null counts as left out."""

    model_config = ConfigDict(extra="allow", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if value is not None}

    def needs_one_of(self, *names: str) -> None:
        """Raise ValueError unless one of the parameters is there."""
        given = self.model_fields_set
        if not any(name in given for name in names):
            raise ValueError(f"{' or '.join(names)} is required")


class AspectRatio(Given):
    width: float = Field(ge=1)
    height: float = Field(ge=1)


class ToolParameters(Given):
    numResults: int = Field(1, ge=1, le=100)
    isOutputTemporary: bool = False
    hideFromUi: bool = False


class Watermarked(ToolParameters):
    watermarkMode: Literal["AUTO", "VIDEO_GEN", "NONE"] = "AUTO"


class Image(Watermarked):
    prompt: Text
    imageFileIds: Annotated[Texts, Field(max_length=4)] = []
    entityIds: Texts = []
    aspectRatio: AspectRatio | None = None
    quality: Quality | None = None


class VideoClip(Watermarked):
    prompt: Text | None = None
    startFrameFileId: Text | None = None
    imageFileIds: Texts = []
    videoFileIds: Texts = []
    audioFileIds: Texts = []
    spokenDialogue: Text | None = None
    generateAudio: bool = False
    suppressBackgroundMusic: bool = False
    durationSeconds: float | None = Field(None, ge=1, le=30)
    aspectRatio: AspectRatio | None = None
    quality: Quality | None = None

    @model_validator(mode="after")
    def _something_to_start_from(self) -> Self:
        self.needs_one_of(
            "prompt",
            "startFrameFileId",
            "imageFileIds",
            "videoFileIds",
            "audioFileIds",
            "spokenDialogue",
            "videoFileId",
        )
        return self


class MotionGraphic(ToolParameters):
    prompt: Text
    fileIds: Texts = []
    entityIds: Texts = []
    durationSeconds: float | None = Field(None, ge=1, le=300)
    aspectRatio: AspectRatio | None = None
    transparentBackground: bool = True


class Speech(ToolParameters):
    ttsText: Text
    voiceId: Text
    voiceSpeed: float | None = Field(None, ge=0.5, le=2)
    pronunciationReplacements: list[dict[str, Any]] = []


class SoundEffect(ToolParameters):
    prompt: Text
    durationSeconds: float | None = Field(None, ge=1, le=30)
    promptInfluence: float | None = Field(None, ge=0, le=1)


class Music(ToolParameters):
    prompt: Text


class Avatar(Watermarked):
    avatarQuality: Quality | None = None

    @model_validator(mode="after")
    def _somebody_who_says_something(self) -> Self:
        self.needs_one_of("actorEntityId", "avatarPresenterId")
        self.needs_one_of("audioFileId", "audioStorageFileId")
        return self


class OneImage(Watermarked):
    @model_validator(mode="after")
    def _an_image(self) -> Self:
        self.needs_one_of("imageFileId", "imageStorageFileId")
        return self


class OneVideo(Watermarked):
    @model_validator(mode="after")
    def _a_video(self) -> Self:
        self.needs_one_of("videoFileId", "videoStorageFileId")
        return self


class Export(Given):
    projectId: Text
    quality: Literal["STANDARD", "HIGH", "FULL_HIGH", "ULTRA_HIGH"] | None = None


class Remix(Given):
    projectId: Text
    remixActions: Annotated[list[Any], Field(min_length=1)]


class Interchange(Given):
    projectId: Text


#: Parameters of which nothing is certain.
Anything = create_model("Anything", __base__=Given)
