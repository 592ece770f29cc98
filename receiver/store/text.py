"""Text that both engines can hold."""

from collections.abc import Mapping
from typing import Any


def storable(text: str | None) -> Any:
    """Return text that both engines can hold: PostgreSQL takes no NUL, neither takes lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def storable_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose texts both engines can hold."""
    return {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}
