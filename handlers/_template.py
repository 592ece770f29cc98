"""A text with `{names}` in it. Nothing can be reached from it but the values that it is given."""

import re
import string
from collections.abc import Collection, Mapping


def check(text: str, names: Collection[str] | None = None) -> None:
    """Raise ValueError if `text` is no template: over `names`, or over any. `{{` stands for a brace."""
    for _, name, specification, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if names is not None and name not in names:
            raise ValueError(f"there is no {{{name}}}: there are " + ", ".join(f"{{{known}}}" for known in names))
        if specification or conversion or not re.fullmatch(r"\w+", name):
            raise ValueError("between the braces stands a name, and nothing else")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the template with its names replaced; what has no value is empty."""
    return "".join(
        literal + (values.get(name, "") if name else "") for literal, name, _, _ in string.Formatter().parse(text)
    )
