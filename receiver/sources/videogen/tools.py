"""What can be submitted to VideoGen, and what sort of work each is."""

from .. import Model, Tool
from . import parameters as given
from .work import EXECUTION, EXPORT, IMPORT, INTERCHANGE, MESSAGE, REMIX, RUN, Work

_DOCS = "https://docs.videogen.io"


def _tool(name: str, parameters: Model, usual: float) -> Tool:
    return Tool(
        name=name,
        type=name.upper().replace("-", "_"),
        parameters=parameters,
        calls=True,
        cancels=True,
        usual=usual,
        docs=f"{_DOCS}/rest-api-reference",
    )


def _other(name: str, work: Work, parameters: Model, usual: float, *, calls: bool) -> Tool:
    return Tool(
        name=name,
        type=work.constant or "",
        parameters=parameters,
        calls=calls,
        usual=usual,
        docs=f"{_DOCS}/rest-api-reference",
    )


_EXECUTIONS = (
    _tool("generate-image", given.Image, 35),
    _tool("generate-video-clip", given.VideoClip, 120),
    _tool("generate-motion-graphic", given.MotionGraphic, 210),
    _tool("text-to-speech", given.Speech, 8),
    _tool("generate-sound-effect", given.SoundEffect, 20),
    _tool("generate-music", given.Music, 120),
    _tool("generate-avatar", given.Avatar, 60),
    _tool("vectorize-image", given.OneImage, 35),
    _tool("remove-image-background", given.OneImage, 35),
    _tool("upscale-image", given.OneImage, 35),
    _tool("image-3d-effect", given.OneImage, 60),
    _tool("remove-video-background", given.OneVideo, 120),
    _tool("upscale-video", given.OneVideo, 120),
)
_RUNS = tuple(
    _tool(name, given.Anything, 300)
    for name in (
        "script-to-video",
        "voiceover-to-video",
        "slideshow-to-video",
        "prompt-to-video-clip",
        "video-to-video",
        "creative-brief-to-video",
    )
)
#: Whose ends no webhook tells: remixes, interchanges, imports. Exports' do, in the newest documentation alone.
_OTHERS = {
    EXPORT: _other("export-project", EXPORT, given.Export, 120, calls=True),
    MESSAGE: _other("assistant-message", MESSAGE, given.Anything, 20, calls=True),
    REMIX: _other("remix-project", REMIX, given.Remix, 120, calls=False),
    INTERCHANGE: _other("timeline-interchange", INTERCHANGE, given.Interchange, 60, calls=False),
    IMPORT: _other("import-file", IMPORT, given.Anything, 30, calls=False),
}

TOOLS: tuple[Tool, ...] = (*_EXECUTIONS, *_RUNS, *_OTHERS.values())

_WORK = {
    **{tool.name: EXECUTION for tool in _EXECUTIONS},
    **{tool.name: RUN for tool in _RUNS},
    **{tool.name: work for work, tool in _OTHERS.items()},
}


def work_for(tool: Tool) -> Work:
    """Return what sort of work a tool is."""
    return _WORK[tool.name]
