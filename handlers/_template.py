"""A text with `{names}` in it. Nothing can be reached from it but the values that it is given."""

import string
from collections.abc import Collection, Mapping


def check(text: str, names: Collection[str]) -> None:
    """Raise ValueError if `text` is no template over `names`. `{{` stands for a brace."""
    for _, name, specification, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if name not in names:
            raise ValueError(f"there is no {{{name}}}: there are " + ", ".join(f"{{{known}}}" for known in names))
        if specification or conversion:
            raise ValueError(f"write {{{name}}}, and nothing else between the braces")


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return the template with its names replaced."""
    return text.format_map(values)
