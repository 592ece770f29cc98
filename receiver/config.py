"""`receiver.toml`: what is configured without code. Each section is checked against a model, each error names its line.

A part of the receiver reads its own section, with its own model:

    config = read(settings.config)
    retention = config.table("retention", Retention)  # [retention], the model's defaults if there is none
    alarms = config.tables("alarms", Alarm)  # [[alarms]], in the order of the file

A new section is a name more in SECTIONS.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.functional_validators import BeforeValidator

from .errors import ConfigError

#: The file that is read if no other one is named.
FILE = Path("receiver.toml")

#: What may stand at the top of the file.
SECTIONS = ("handlers", "alarms", "retention")

Model = TypeVar("Model", bound=BaseModel)
Keys = tuple[str | int, ...]


def _from_environment(value: object) -> object:
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, Mapping) or set(value) != {"env"} or not isinstance(value["env"], str):
        raise ValueError('a secret does not belong into this file: name a variable that has it, { env = "NAME" }')
    found = os.environ.get(value["env"], "").strip()
    if not found:
        raise ValueError(f"the variable {value['env']} is not set")
    return found


#: An option that is a secret: the file names the variable that has it, `secret = { env = "FORWARD_SECRET" }`.
Secret = Annotated[SecretStr, BeforeValidator(_from_environment)]


@dataclass(frozen=True, slots=True)
class Placed(Generic[Model]):
    """A table of the file, checked, and where it stands."""

    value: Model
    path: Keys  #: e.g. `("handlers", 0)`
    place: str  #: for people: `receiver.toml:3`


@dataclass(frozen=True)
class Config:
    """The file, parsed; empty if there is none."""

    file: Path = FILE
    text: str = field(default="", repr=False)

    @cached_property
    def _data(self) -> dict[str, Any]:
        try:
            data = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{self.file}: {error}") from None
        if unknown := [name for name in data if name not in SECTIONS]:
            name = unknown[0]
            raise ConfigError(f"{self.place(name)}: there is no section {name}: known are {', '.join(SECTIONS)}")
        return data

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        return _find_lines(self.text)

    def table(self, name: str, model: type[Model]) -> Model:
        """Return the section `[name]` as `model`. Raises ConfigError with the line of each problem."""
        return self.check(self._data.get(name, {}), model, name)

    def tables(self, name: str, model: type[Model]) -> list[Placed[Model]]:
        """Return the sections `[[name]]` as `model`, in the order of the file.

        Raises ConfigError with the line of each problem.
        """
        found = self._data.get(name, [])
        if not isinstance(found, list):
            raise ConfigError(f"{self.place(name)}: write [[{name}]], with two brackets: there may be several")
        return [
            Placed(self.check(item, model, name, number), (name, number), self.place(name, number))
            for number, item in enumerate(found)
        ]

    def check(self, data: object, model: type[Model], *path: str | int) -> Model:
        """Return `data`, which stands at `path`, as `model`. Raises ConfigError with the line of each problem."""
        try:
            return model.model_validate(data)
        except ValidationError as error:
            lines = [
                f"{self.place(*path, *item['loc'])}: {_told((*path, *item['loc']))}: "
                + item["msg"].removeprefix("Value error, ")
                for item in error.errors(include_input=False, include_url=False)
            ]
            raise ConfigError("\n".join(lines)) from None

    def place(self, *path: str | int) -> str:
        """Return where something stands, or else what it would stand in: `receiver.toml:3`."""
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return f"{self.file}:{line}"
        return str(self.file)


def read(file: Path | None = None) -> Config:
    """Return the configuration in `file`; without a name, that of `receiver.toml` here, if there is one.

    Raises ConfigError if a named file is not there, or cannot be read.
    """
    if file is None and not FILE.exists():
        return Config()
    named = file or FILE
    try:
        return Config(named, named.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{named} is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"cannot read {named}: {error.strerror}; see RECEIVER_CONFIG") from None


def _find_lines(text: str) -> dict[Keys, int]:
    """Return the line of each table and key. A statement of TOML is the fewest lines that parse by themselves."""
    found: dict[Keys, int] = {}
    counts: dict[str, int] = {}
    header: Keys = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += line + "\n"
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        path = _only_path(parsed)
        if statement.lstrip().startswith("["):
            name = str(path[0])
            if isinstance(parsed[name], list):
                counts[name] = counts.get(name, -1) + 1
            path = header = (name, counts[name], *path[1:]) if name in counts else path
        else:
            path = (*header, *path)
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], start)
        statement, start = "", number + 1
    return found


def _only_path(parsed: object) -> Keys:
    path: Keys = ()
    while isinstance(parsed, dict) and len(parsed) == 1:
        ((key, parsed),) = parsed.items()
        path = (*path, key)
    return path


def _told(path: Keys) -> str:
    """Return a path as people count: `handlers[2].url` is the second one's."""
    told = ""
    for part in path:
        told += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if told else part
    return told
