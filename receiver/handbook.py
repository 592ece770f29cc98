"""The page about handlers, written from the handlers themselves: what they say they do, and their options."""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from .registry import Configurable, Entry, Handler

_HEAD = """\
# Handlers

This page is written by `make docs`, from the handlers themselves.

A handler is used in one of two ways. Those under [Without code](#without-code) are named in `receiver.toml`, as often
as you like, each time with options of its own; it does not matter where they are installed, nor what RECEIVER_HANDLERS
is. Those under [By themselves](#by-themselves) run if RECEIVER_HANDLERS finds them: all of them if there is no folder
`handlers/`, else those that are named, e.g. `RECEIVER_HANDLERS=handlers,handlers.download`.

`receiver handlers list` says which handlers there are, what each gets and why; with `--event FILE`, who gets that
event. `receiver handlers test NAME --event FILE` runs one without storing anything. `receiver handlers new NAME`
begins one of your own, with its test.
"""

_ENTRY = """\
## Without code

Each `[[handlers]]` in `receiver.toml` makes a handler. A mistake is told at the start, with its line.
"""

_SECRETS = """\
A secret does not stand in the file: `secret = { env = "NAME" }` names the variable that has it.
"""

_MARKED = """\
## By themselves
"""


def page(handlers: Iterable[Handler], offers: Iterable[Configurable]) -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, _ENTRY, _options(Entry), _SECRETS]
    parts += [part for offer in offers for part in _offer(offer)]
    parts.append(_MARKED)
    parts += [part for handler in handlers for part in _handler(handler)]
    return "\n".join(parts).rstrip() + "\n"


def _offer(offer: Configurable) -> Sequence[str]:
    limits = _limits(offer.retries, offer.timeout, offer.concurrency)
    return (
        f"### {offer.name}\n",
        _said_by(offer.make),
        _options(offer.options),
        f"{limits}, unless the file says else.\n",
    )


def _handler(handler: Handler) -> Sequence[str]:
    events = ", ".join(f"`{pattern}`" for pattern in handler.patterns)
    narrowed = [f" of {handler.source}"] if handler.source else []
    narrowed += [f" by {handler.tool}"] if handler.tool else []
    limits = _limits(handler.retries, handler.timeout, handler.concurrency)
    return f"### {handler.name}\n", _said_by(handler.function), f"It gets {events}{''.join(narrowed)}. {limits}.\n"


def _said_by(function: Callable[..., Any]) -> str:
    """Return what the module of a function says, else the function."""
    return inspect.cleandoc(sys.modules[function.__module__].__doc__ or function.__doc__ or "") + "\n"


def _limits(retries: int, timeout: float, concurrency: int) -> str:
    return f"{retries} retries, {timeout:g} seconds for each attempt, {concurrency} at once in one worker"


def _options(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    rows = ["| option | is | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        kind = _kind(schema["properties"][name])
        default = "required" if field.is_required() else _shown(field.default)
        rows.append(f"| `{name}` | {kind} | {default} | {field.description or 'not told'} |")
    return "\n".join(rows) + "\n"


def _shown(default: object) -> str:
    return "" if default is None or default == () else f"`{json.dumps(default)}`"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema.get("format") == "password":
        return "a secret"
    if schema.get("type") == "array":
        return f"a list of {_kind(schema.get('items', {}))}"
    return _KINDS.get(schema.get("type", ""), "")


_KINDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
