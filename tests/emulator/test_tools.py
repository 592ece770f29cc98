from typing import Any

import pytest

from receiver.emulator.api import ApiError
from receiver.emulator.tools import TOOLS, Tool

BY_PATH = {tool.path: tool for tool in TOOLS}


def tool(path: str) -> Tool:
    return BY_PATH[path]


def test_there_are_the_thirteen_tools() -> None:
    assert {tool.path: (tool.type, tool.makes) for tool in TOOLS} == {
        "generate-image": ("GENERATE_IMAGE", "IMAGE"),
        "generate-video-clip": ("GENERATE_VIDEO_CLIP", "VIDEO"),
        "generate-motion-graphic": ("GENERATE_MOTION_GRAPHIC", "VIDEO"),
        "text-to-speech": ("TEXT_TO_SPEECH", "AUDIO"),
        "generate-sound-effect": ("GENERATE_SOUND_EFFECT", "AUDIO"),
        "generate-music": ("GENERATE_MUSIC", "AUDIO"),
        "generate-avatar": ("GENERATE_AVATAR", "VIDEO"),
        "vectorize-image": ("VECTORIZE_IMAGE", "IMAGE"),
        "remove-image-background": ("REMOVE_IMAGE_BACKGROUND", "IMAGE"),
        "remove-video-background": ("REMOVE_VIDEO_BACKGROUND", "VIDEO"),
        "upscale-image": ("UPSCALE_IMAGE", "IMAGE"),
        "upscale-video": ("UPSCALE_VIDEO", "VIDEO"),
        "image-3d-effect": ("IMAGE_3D_EFFECT", "VIDEO"),
    }


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("generate-image", {"prompt": "a"}),
        ("generate-image", {"prompt": "a", "imageFileIds": ["f"] * 4, "quality": "MAX", "numResults": 100}),
        (
            "generate-image",
            {"prompt": "a", "aspectRatio": {"width": 9, "height": 16}, "contentPolicyConfig": {}},
        ),
        ("generate-video-clip", {"prompt": "a", "durationSeconds": 1.5, "generateAudio": True}),
        ("generate-video-clip", {"imageFileIds": ["vg_file_a"]}),
        ("generate-video-clip", {"videoFileId": "vg_file_a"}),
        ("generate-video-clip", {"videoFileIds": ["vg_file_a"], "watermarkMode": "VIDEO_GEN"}),
        ("generate-motion-graphic", {"prompt": "a", "durationSeconds": 300, "subToolModes": {}}),
        ("text-to-speech", {"ttsText": "a", "voiceId": "vg_voic_of_a_real_account", "voiceSpeed": 0.5}),
        (
            "text-to-speech",
            {"ttsText": "a", "voiceId": "vg_voic_emulator_matilda", "pronunciationReplacements": [{}]},
        ),
        ("generate-sound-effect", {"prompt": "a", "durationSeconds": 30, "promptInfluence": 0}),
        ("generate-sound-effect", {"prompt": "a", "durationSeconds": None, "promptInfluence": None}),
        (
            "generate-sound-effect",
            {"prompt": "a", "watermarkMode": "whatever it does not know", "futureOption": 1},
        ),
        ("generate-music", {"prompt": "a", "isOutputTemporary": True, "hideFromUi": False}),
        ("generate-avatar", {"actorEntityId": "e", "audioFileId": "f", "avatarQuality": "LOW"}),
        ("generate-avatar", {"avatarPresenterId": "p", "audioStorageFileId": "f"}),
        ("generate-avatar", {"avatarPresenterId": "p", "audioFileId": "f", "watermarkMode": "AUTO"}),
        ("vectorize-image", {"imageFileId": "f"}),
        ("upscale-image", {"imageStorageFileId": "f"}),
        ("remove-video-background", {"videoFileId": "f"}),
        ("upscale-video", {"videoStorageFileId": "f"}),
    ],
)
def test_current_and_older_parameters_are_taken(path: str, parameters: dict[str, Any]) -> None:
    tool(path).check(parameters)


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("generate-image", {}, "prompt is required"),
        ("generate-image", {"prompt": None}, "prompt is required"),
        ("generate-image", {"prompt": " "}, "prompt must be a text"),
        ("generate-image", {"prompt": 5}, "prompt must be a text"),
        ("generate-image", {"prompt": "a", "imageFileIds": ["f"] * 5}, "imageFileIds must have 4"),
        ("generate-image", {"prompt": "a", "imageFileIds": "f"}, "imageFileIds must be a list"),
        ("generate-image", {"prompt": "a", "entityIds": [1]}, "entityIds must be a list"),
        ("generate-image", {"prompt": "a", "quality": "BEST"}, "quality must be one of LOW"),
        ("generate-image", {"prompt": "a", "aspectRatio": "16:9"}, "aspectRatio must be an object"),
        ("generate-image", {"prompt": "a", "aspectRatio": {"width": 16}}, "aspectRatio must be an object"),
        ("generate-image", {"prompt": "a", "aspectRatio": {"width": 16, "height": 0}}, "aspectRatio must be"),
        (
            "generate-image",
            {"prompt": "a", "contentPolicyConfig": []},
            "contentPolicyConfig must be an object",
        ),
        ("generate-image", {"prompt": "a", "numResults": 0}, "numResults must be a number from 1 to 100"),
        ("generate-image", {"prompt": "a", "numResults": 101}, "numResults must be a number from 1 to 100"),
        ("generate-image", {"prompt": "a", "numResults": 1.5}, "numResults must be a whole number"),
        ("generate-image", {"prompt": "a", "numResults": True}, "numResults must be a number"),
        (
            "generate-image",
            {"prompt": "a", "isOutputTemporary": "yes"},
            "isOutputTemporary must be true or false",
        ),
        ("generate-image", {"prompt": "a", "watermarkMode": "SOME"}, "watermarkMode must be one of"),
        ("generate-video-clip", {"generateAudio": True}, "prompt or startFrameFileId or .* is required"),
        (
            "generate-video-clip",
            {"prompt": "a", "durationSeconds": 31},
            "durationSeconds must be a number from 1 to 30",
        ),
        (
            "generate-motion-graphic",
            {"prompt": "a", "durationSeconds": 0},
            "durationSeconds must be a number",
        ),
        ("text-to-speech", {"ttsText": "a"}, "voiceId is required"),
        ("text-to-speech", {"ttsText": "a", "voiceId": ["v"]}, "voiceId must be a text"),
        (
            "text-to-speech",
            {"ttsText": "a", "voiceId": "vg_voic_emulator_workflows"},
            "voiceId names a voice that",
        ),
        (
            "text-to-speech",
            {"ttsText": "a", "voiceId": "v", "voiceSpeed": 2.1},
            "voiceSpeed must be a number",
        ),
        (
            "text-to-speech",
            {"ttsText": "a", "voiceId": "v", "pronunciationReplacements": ["a"]},
            "must be a list of obj",
        ),
        (
            "generate-sound-effect",
            {"prompt": "a", "durationSeconds": 0.5},
            "durationSeconds must be a number from 1 to 30",
        ),
        (
            "generate-sound-effect",
            {"prompt": "a", "durationSeconds": float("nan")},
            "durationSeconds must be",
        ),
        (
            "generate-sound-effect",
            {"prompt": "a", "promptInfluence": 1.01},
            "promptInfluence must be a number from 0 to 1",
        ),
        ("generate-avatar", {"audioFileId": "f"}, "actorEntityId or avatarPresenterId is required"),
        ("generate-avatar", {"actorEntityId": "e"}, "audioFileId or audioStorageFileId is required"),
        ("vectorize-image", {}, "imageFileId or imageStorageFileId is required"),
        ("upscale-video", {"videoFileId": ""}, "videoFileId must be a text"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(path: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        tool(path).check(parameters)
    assert (caught.value.status, caught.value.body["code"]) == (400, "invalid_request")


def test_a_video_without_watermark_needs_an_add_on() -> None:
    with pytest.raises(ApiError) as caught:
        tool("generate-video-clip").check({"prompt": "a", "watermarkMode": "NONE"})
    assert caught.value.status == 403
    assert caught.value.body["code"] == "not_authorized"
    assert caught.value.body["requirement"]["type"] == "purchase_add_on"
