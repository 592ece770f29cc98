"""What can be submitted to FineVoice. Its samples speak of seconds; how long tasks take is not documented."""

from .. import Model, Tool
from . import parameters as given

_DOCS = "https://api.finevoice.ai/api-reference"


def _tool(name: str, parameters: Model, usual: float) -> Tool:
    return Tool(name=name, type=name, parameters=parameters, usual=usual, docs=_DOCS)


#: The path of each tool's call.
PATHS: dict[str, str] = {
    "sfx-generation": "/v1/audio/sfx-generation",
    "speech-synthesis": "/v1/audio/speech-synthesis",
    "voice-conversion": "/v1/audio/voice-conversion",
    "stt": "/v1/audio/stt",
    "separation": "/v1/audio/separation",
    "podcastgen": "/v1/audio/podcastgen",
    "voice-train": "/v1/voice/train",
    "voice-design": "/v1/voice/design",
    "musicgenbyprompt": "/v1/music/musicgenbyprompt",
    "musicgen": "/v1/music/musicgen",
    "cover": "/v1/music/cover",
}

TOOLS = (
    _tool("sfx-generation", given.SoundEffect, 15),
    _tool("speech-synthesis", given.Speech, 8),
    _tool("voice-conversion", given.VoiceConversion, 20),
    _tool("stt", given.Transcript, 30),
    _tool("separation", given.Separation, 30),
    _tool("podcastgen", given.Podcast, 90),
    _tool("voice-train", given.Anything, 300),
    _tool("voice-design", given.Anything, 30),
    _tool("musicgenbyprompt", given.Anything, 90),
    _tool("musicgen", given.Anything, 90),
    _tool("cover", given.Anything, 90),
)
