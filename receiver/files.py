"""Where captured outputs are kept: a folder, or a bucket. Nothing has its name there before it is whole and safe."""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

from .errors import ConfigError

#: How the URLs of buckets begin: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
BUCKETS = ("s3://", "gs://", "az://")

#: Uploads of one process at once, parts of one that are sent at once, and the size of a part, bytes: that much memory
#: an upload takes, and S3's 10,000 parts hold 80 GB.
UPLOADS, PARTS, PART_SIZE = 4, 2, 8 * 2**20

#: Bytes of a bucket's file that are asked for at once by whoever is shown it: that much memory a viewer takes.
PIECE = 2**18


class Part:
    """A file in the making, on this machine's disk."""

    def __init__(self, file: BinaryIO, keep: Callable[[BinaryIO, str, str], Awaitable[str]]) -> None:
        self._file = file
        self._keep = keep
        self._hash = hashlib.sha256()
        self.size = 0  #: bytes written so far

    @property
    def sha256(self) -> str:
        """The digest of what was written so far."""
        return self._hash.hexdigest()

    async def write(self, chunk: bytes) -> None:
        """Append to it. Raises OSError."""
        # In a thread: a slow disk must not hold up the other runs of this worker, nor their leases.
        await asyncio.to_thread(self._append, chunk)

    def _append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    async def restart(self) -> None:
        """Throw away what was written. Raises OSError."""
        if self.size:
            await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    async def keep(self, file: str, *, media_type: str) -> str:
        """Give it its name, and return its place. When this returns, it outlives a power cut. Raises OSError."""
        return await self._keep(self._file, file, media_type)


class Files(Protocol):
    """Where captured outputs are kept. Names of files are ours: letters, digits, `-`, `_` and `.`."""

    place: str  #: as RECEIVER_FILES says it

    def new(self, name: str) -> AbstractAsyncContextManager[Part]:
        """Begin a file of which `name` is the stem. It is gone in the end unless it is kept. Raises OSError."""

    async def read(self, file: str) -> bytes:
        """Return a small file. Raises OSError, FileNotFoundError if it is not there."""

    async def holds(self, file: str, *, size: int, sha256: str) -> bool:
        """Whether a file is there, of that size; in a folder, where a disk may forget, also whether byte for byte."""

    async def delete(self, file: str) -> None:
        """Remove a file; one that is gone is fine. Raises OSError."""

    async def link(self, file: str, *, seconds: float) -> str | None:
        """Return a URL that opens a file for so long without credentials; None if there is none."""


def open_files(place: str) -> Files:
    """Return the folder or the bucket at `place`. Raises ConfigError if it cannot be one."""
    return Bucket(place) if place.startswith(BUCKETS) else Folder(place)


def name_at(files: Files, place: str) -> str | None:
    """Return the name that the file at `place` has in `files`; None if it lies elsewhere."""
    stem = f"{files.place.rstrip('/')}/"
    name = place.removeprefix(stem)
    return name if place.startswith(stem) and name and "/" not in name else None


async def remove(files: Files, place: str, size: int, sha256: str) -> bool:
    """Delete a captured file and its description; return False if it is not here as it was captured. Raises OSError."""
    file = name_at(files, place)
    if file is None or not await files.holds(file, size=size, sha256=sha256):
        return False
    await files.delete(file)
    await files.delete(f"{file.rpartition('.')[0] or file}.json")
    return True


class Folder:
    """Files in a folder of this machine."""

    def __init__(self, place: str) -> None:
        self.place = str(Path(place))
        self._path = Path(place)

    def path(self, file: str) -> Path:
        """Return where a file lies."""
        return self._path / Path(file).name

    @asynccontextmanager
    async def new(self, name: str) -> AsyncIterator[Part]:
        """Begin a file, under a hidden name beside its own."""
        hidden = self._path / f".{name}.{secrets.token_hex(8)}.part"
        file = await asyncio.to_thread(self._begin, name, hidden)

        async def keep(file: BinaryIO, final: str, _media_type: str) -> str:
            await asyncio.to_thread(_settle, file, hidden, self.path(final))
            return str(self.path(final))

        try:
            yield Part(file, keep)
        finally:
            await asyncio.to_thread(_discard, file, hidden)

    def _begin(self, name: str, hidden: Path) -> BinaryIO:
        self._path.mkdir(parents=True, exist_ok=True)
        # A killed attempt left these. If one still runs, its lease is over: it finds its file gone, and this one wins.
        for left in self._path.glob(f".{name}.*.part"):
            left.unlink(missing_ok=True)
        return hidden.open("xb")

    async def read(self, file: str) -> bytes:
        """Return a small file."""
        return await asyncio.to_thread(self.path(file).read_bytes)

    async def holds(self, file: str, *, size: int, sha256: str) -> bool:
        """Whether a file is there, byte for byte."""
        return await asyncio.to_thread(_is_whole, self.path(file), size, sha256)

    async def delete(self, file: str) -> None:
        """Remove a file."""
        await asyncio.to_thread(self.path(file).unlink, missing_ok=True)

    async def link(self, file: str, *, seconds: float) -> str | None:
        """Return None: a folder has no URLs."""
        return None


def _settle(file: BinaryIO, hidden: Path, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    hidden.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _discard(file: BinaryIO, hidden: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk refuses what is left to write once more
        file.close()
    hidden.unlink(missing_ok=True)


def _is_whole(path: Path, size: int, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            same = os.fstat(file.fileno()).st_size == size
            return same and hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


class Bucket:
    """Files in a bucket, e.g. `s3://bucket/folder`. Keys and regions are read as that provider's own tools read them.

    A file is written to this machine's disk first, without a name: a connection that breaks costs no second upload,
    nothing of it stays when the process dies, and what is not media never gets as far as the bucket.
    """

    def __init__(self, place: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
        except ImportError:
            raise ConfigError(
                f"RECEIVER_FILES: {place} needs the extra `storage`: pip install 'media-receiver[storage]'"
            ) from None
        self.place = place.rstrip("/")
        self._obstore = obstore
        self._troubles = (BaseError, FileNotFoundError, PermissionError, NotImplementedError)
        self._uploads = asyncio.Semaphore(UPLOADS)
        try:
            retries: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
            self._store: Any = obstore.store.from_url(self.place, retry_config=retries)
        except (BaseError, ValueError) as error:
            raise ConfigError(f"RECEIVER_FILES: {place} is no bucket: {_first_line(error)}") from None

    @asynccontextmanager
    async def new(self, name: str) -> AsyncIterator[Part]:
        """Begin a file, on the disk for temporary files."""
        file: BinaryIO = await asyncio.to_thread(tempfile.TemporaryFile)
        try:
            yield Part(file, self._upload)
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(file.close)

    async def _upload(self, file: BinaryIO, final: str, media_type: str) -> str:
        async with self._uploads:
            await asyncio.to_thread(file.seek, 0)
            with self._told(f"not uploaded to {self.place}"):
                await self._obstore.put_async(
                    self._store,
                    final,
                    _pieces(file),
                    attributes={"Content-Type": media_type},
                    chunk_size=PART_SIZE,
                    max_concurrency=PARTS,
                )
        return f"{self.place}/{final}"

    async def read(self, file: str) -> bytes:
        """Return a small file."""
        with self._told(f"not read from {self.place}"):
            return bytes(await (await self._obstore.get_async(self._store, file)).bytes_async())

    async def pieces(self, file: str, part: range, *, size: int) -> AsyncIterator[bytes]:
        """Return `part` of the bytes of a file in small pieces. Raises OSError, also if it is not of that `size`."""
        with self._told(f"not read from {self.place}"):
            found = await self._obstore.get_async(self._store, file, options={"range": (part.start, part.stop)})
        if found.meta["size"] != size:
            raise FileNotFoundError(errno.ENOENT, f"not read from {self.place}: it is another file by now")
        return self._read_on(found.stream(min_chunk_size=PIECE))

    async def _read_on(self, stream: AsyncIterator[Any]) -> AsyncIterator[bytes]:
        with self._told(f"not read to its end from {self.place}"):
            async for come in stream:  # at once as much as the network had, which may be several pieces
                read = bytes(come)
                for start in range(0, len(read), PIECE):
                    yield read[start : start + PIECE]

    async def holds(self, file: str, *, size: int, sha256: str) -> bool:
        """Whether a file of that size is there: what a bucket has taken whole, it keeps whole."""
        try:
            with self._told(f"not looked up in {self.place}"):
                return bool((await self._obstore.head_async(self._store, file))["size"] == size)
        except FileNotFoundError:
            return False

    async def delete(self, file: str) -> None:
        """Remove a file."""
        with contextlib.suppress(FileNotFoundError), self._told(f"not deleted from {self.place}"):
            await self._obstore.delete_async(self._store, file)

    async def link(self, file: str, *, seconds: float) -> str | None:
        """Return a presigned URL."""
        with self._told(f"no link to {self.place}"):
            return str(await self._obstore.sign_async(self._store, "GET", file, timedelta(seconds=seconds)))

    @contextlib.contextmanager
    def _told(self, what: str) -> Any:
        """Raise OSError instead of what obstore raises, without the URL in it."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, f"{what}: there is no such file") from None
        except self._troubles as error:
            raise OSError(errno.EIO, f"{what}: {type(error).__name__}: {_first_line(error)}") from None


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, PART_SIZE):
        yield piece


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return " ".join(word for word in text.split() if "://" not in word)[:200]


class Gallery:
    """Opens captured outputs by their places. `shown_at` is where the world sees the place for files, if it does."""

    def __init__(self, files: Files, *, shown_at: str | None = None, api: str = "") -> None:
        self._files = files
        self._shown_at = shown_at
        self.api = api  #: where the API is, for what only it can open

    def public(self, place: str) -> str | None:
        """Return the URL by which the world sees a file; None if it does not."""
        file = name_at(self._files, place)
        return f"{self._shown_at}/{quote(file)}" if file and self._shown_at else None

    async def presigned(self, place: str, *, seconds: float) -> str | None:
        """Return a URL that opens a file for so long; None if there is none. Raises OSError."""
        file = name_at(self._files, place)
        return await self._files.link(file, seconds=seconds) if file else None

    def path(self, place: str) -> Path | None:
        """Return where a file lies on this machine; None if that is elsewhere than files are kept now.

        So it is if there is a link at its place that leads out of the folder. It looks at the disk.
        """
        file = name_at(self._files, place)
        if not file or not isinstance(self._files, Folder):
            return None
        path = self._files.path(file)
        return path if path.resolve().parent == Path(self._files.place).resolve() else None

    def is_remote(self, place: str) -> bool:
        """Whether a file lies in the bucket where files are kept now."""
        return isinstance(self._files, Bucket) and name_at(self._files, place) is not None

    async def pieces(self, place: str, part: range, *, size: int) -> AsyncIterator[bytes]:
        """Return `part` of the bytes of a file in the bucket. Raises OSError, also if it is elsewhere or changed."""
        file = name_at(self._files, place)
        if file is None or not isinstance(self._files, Bucket):
            raise FileNotFoundError(errno.ENOENT, "it is not in the bucket")
        return await self._files.pieces(file, part, size=size)
