"""What can be submitted to VideoGenAPI: one call, whose mode its parameters decide.

Audio is no tool of its own: `add_audio` adds it to the same generation.
"""

from .. import Model, Tool
from . import parameters as given


def _tool(name: str, parameters: Model) -> Tool:
    return Tool(name=name, type=name, parameters=parameters, usual=180, docs="https://videogenapi.com/docs")


TOOLS = (
    _tool("text-to-video", given.TextToVideo),
    _tool("image-to-video", given.ImageToVideo),
    _tool("multi-image-to-video", given.MultiImageToVideo),
)
