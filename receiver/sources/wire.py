"""JSON as providers send it: strict about what it is, tolerant about what is in it."""

import json
import math
from typing import Any

import msgspec

from ..errors import Unreadable

#: Levels of nesting that are read. Recursive code anywhere behind us can then walk the data.
DEEPEST = 64

#: Characters of an id or a name. Every one seen is below 40.
LONGEST = 512


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, such that it can be encoded and stored again.

    Of a name that comes twice the last value counts; half of a surrogate pair becomes U+FFFD.

    Raises Unreadable, which quotes nothing: for another encoding than UTF-8, for what only some
    parsers take (NaN, numbers beyond a double, integers of thousands of digits) and for nesting
    deeper than `DEEPEST`.
    """
    try:
        data = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # What the quick parser refuses may still be fit to keep: half pairs are, and the reason is to be told.
        return _parse(body)
    if not isinstance(data, dict):
        raise Unreadable("the body is JSON, but not an object")
    # The usual body is spared the walk through all of it.
    if body.count(b"{") + body.count(b"[") > DEEPEST:
        return {key: _sound(value, DEEPEST - 1) for key, value in data.items()}
    return data


def _parse(body: bytes) -> dict[str, Any]:
    try:
        data = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise Unreadable("the body is not UTF-8") from None
    except ValueError:
        raise Unreadable("the body is not JSON, or has a number that nobody can hold") from None
    except RecursionError:
        raise Unreadable("the body is nested too deeply") from None
    if not isinstance(data, dict):
        raise Unreadable("the body is JSON, but not an object")
    return {_whole(key): _sound(value, DEEPEST - 1) for key, value in data.items()}


def name(value: object) -> str | None:
    """Return an id or a name as it came; None for anything but printable text of up to `LONGEST` characters.

    Two different broken ids must not become the same one in the store, so those are none.
    """
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        return None
    usable = value.isprintable() and not value.isspace() and "\N{REPLACEMENT CHARACTER}" not in value
    return value if usable else None


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object as it is, an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """Return the JSON objects in a list, none if it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _sound(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return _whole(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise Unreadable("the body is nested too deeply")
    if isinstance(value, list):
        return [_sound(item, levels - 1) for item in value]
    return {_whole(key): _sound(item, levels - 1) for key, item in value.items()}


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


#: Made once: `json.loads` with these options makes one per call.
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
