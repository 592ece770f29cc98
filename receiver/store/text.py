"""Text that both engines can hold."""

from typing import Any


def storable(text: str | None) -> Any:
    """Return text that both engines can hold: PostgreSQL takes no NUL, neither takes lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
