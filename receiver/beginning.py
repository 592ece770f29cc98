"""A handler of one's own, begun: a file that runs, and a test that passes."""

import keyword
from pathlib import Path

from .errors import ConfigError

_HANDLER = '''"""Say what {name} is for."""

from receiver import Context, Event, handler


@handler("job.succeeded")
async def {name}(event: Event, context: Context) -> None:
    """Say what becomes of a finished job."""
    for output in event.outputs:
        context.log.info("output", file=output.id, type=output.type)
'''

_TEST = '''"""What {name} does with an event."""

from pathlib import Path

from receiver.rehearsal import rehearse, sample

HANDLERS = Path(__file__).parents[1] / "{folder}"


def test_{name}_takes_a_finished_job():
    ended = rehearse("{name}", sample(), handlers=HANDLERS)
    assert ended.outcome == "done", ended.error


def test_{name}_takes_a_job_without_outputs():
    ended = rehearse("{name}", sample(outputs=()), handlers=HANDLERS)
    assert ended.outcome == "done", ended.error
'''


def begin(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a handler into `folder` and its test into the `tests` beside it; return both paths.

    Raises ConfigError if the name cannot be one of a function, or one of the files is there.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or not name.isascii():
        raise ConfigError(f"{name!r} cannot name a handler: use letters, digits and _, like publish_sound")
    files = (folder / f"{name}.py", folder.parent / "tests" / f"test_{name}.py")
    if there := [str(file) for file in files if file.exists()]:
        raise ConfigError(f"{' and '.join(there)} is there already: nothing was written")
    for file, template in zip(files, (_HANDLER, _TEST), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as made:
            made.write(template.format(name=name, folder=folder.name))
    return files
