"""A file in the making: seen by nobody before it is complete and on the disk."""

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


class Part:
    """A file in the making, under a hidden name. It is gone in the end unless it is kept. Every method blocks."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A killed attempt left these. If one still runs, its lease is over: it finds its file gone, and this one wins.
        for left in folder.glob(f".{name}.*.part"):
            left.unlink(missing_ok=True)
        self._path = folder / f".{name}.{secrets.token_hex(8)}.part"
        self._file = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what was written so far."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append to it."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def keep(self, file: str) -> None:
        """Give it its name; when this returns, it outlives a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._path.with_name(file))
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Remove it, if it was not kept."""
        with contextlib.suppress(OSError):  # a full disk refuses what is left to write once more
            self._file.close()
        self._path.unlink(missing_ok=True)


def kept(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the description of a file if that file is there, byte for byte."""
    try:
        description: dict[str, Any] = json.loads((folder / f"{name}.json").read_bytes())
        with (folder / Path(description["file"]).name).open("rb") as file:
            whole = os.fstat(file.fileno()).st_size == description["size"]
            same = whole and hashlib.file_digest(file, "sha256").hexdigest() == description["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return description if same else None
