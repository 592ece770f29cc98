"""Keep the files that jobs made, before their URLs expire.

Each output ends as two files in the place for outputs, a folder or a bucket: the media itself, and beside it a `.json`
that says where it came from, its size and its SHA-256. Nothing has its name there before it is complete, checked and
safe, so whatever watches the place may take a file as soon as it sees it.
"""

import hashlib
import json
import math
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from receiver import AddressRefused, Context, Event, GiveUp, Output, Part, ProviderError, Retry, handler

from ._media import extension, media_type
from ._retry_after import retry_after, within_reason

#: Bytes that are written at once: a hundred files in the making take little memory.
_CHUNK = 2**18

#: What storages answer when a URL has expired; S3 says 400 if the key that signed it has.
_EXPIRED = {400, 401, 403, 404, 410}

#: Times that one attempt goes on after a connection that broke, each time further than before.
_RESUMES = 8

#: The first wait for a file that the provider still prepares, seconds.
_PREPARING = 10.0

#: Outputs of one job whose problems are told, of perhaps a hundred.
_TOLD = 10


class _Expired(Exception):
    """A URL that does not work any more. The message is what was answered."""


class _Broken(Exception):
    """An answer that ended too early."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One output, for whom, and the name that its files get."""

    event: Event
    output: Output
    context: Context

    @property
    def name(self) -> str:
        # The ids are a stranger's text, and file systems may not tell Ab from aB: the digest does.
        ids = (self.event.source, self.event.job_id or "", self.output.id)
        return "_".join((*map(_word, ids), hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]))


# The retries span about 20 hours: an output that is deleted early, as VideoGen's temporary ones, is promised for 24.
@handler("job.succeeded", retries=50, timeout=3600, concurrency=4, captures=True)
async def download(event: Event, context: Context) -> None:
    """Capture all outputs of a finished job in the place for files. Those that are there already are left alone."""
    if not event.outputs:
        context.log.info("no_outputs")
    problems = []
    for output in sorted(event.outputs, key=_urgency):
        try:
            await _capture(_Wanted(event, output, context))
        except (Retry, GiveUp) as problem:
            await context.missed(output, str(problem))
            problems.append((output, problem))
    if problems:
        raise _verdict(problems, outputs=len(event.outputs), attempt=context.attempt)


def _urgency(output: Output) -> float:
    return math.inf if output.expires_at is None else output.expires_at


async def _capture(wanted: _Wanted) -> None:
    """Capture one output, unless it is there."""
    try:
        description = await _found(wanted)
        if description is None:
            async with wanted.context.files.new(wanted.name) as part:
                copy = _Copy(part, wanted)
                await _fetch(copy)
                description = await _keep(copy)
            wanted.context.log.info("output_captured", file=description["file"], size=part.size)
        else:
            wanted.context.log.info("output_already_captured", name=wanted.name)
    except OSError as error:
        raise Retry(f"cannot write to the place for files: {error.strerror}") from None
    facts = {name: description[name] for name in ("size", "sha256", "media_type")}
    place = f"{wanted.context.files.place}/{description['file']}"
    await wanted.context.captured(wanted.output, place=place, **facts)


async def _found(wanted: _Wanted) -> dict[str, Any] | None:
    """Return the description of an output that was captured before, if its file is there as described."""
    try:
        description: dict[str, Any] = json.loads(await wanted.context.files.read(f"{wanted.name}.json"))
        facts = {"size": description["size"], "sha256": description["sha256"]}
        whole = await wanted.context.files.holds(description["file"], **facts)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return description if whole and isinstance(description.get("media_type"), str) else None


@dataclass(slots=True)
class _Copy:
    """An output on its way into a file."""

    part: Part
    wanted: _Wanted
    kind: str = ""  #: what its first bytes say it is
    validator: str | None = None  #: by which its storage knows the same file again; None if it cannot go on
    announced: int | None = None  #: bytes of the whole file


async def _fetch(copy: _Copy) -> None:
    """Fetch an output with the URL that came, and go on with a new one where that one is or becomes too old."""
    output = copy.wanted.output
    if output.url and (output.expires_at is None or output.expires_at > time.time()):
        try:
            return await _whole(output.url, copy)
        except _Expired:
            pass
    try:
        fresh = await copy.wanted.context.refresh(output)
    except ProviderError as error:
        raise Retry(f"no new URL: {error}", after=error.retry_after) from None
    if fresh.url is None:
        raise Retry("the provider still prepares it", after=_PREPARING)
    copy.wanted = replace(copy.wanted, output=replace(fresh, id=output.id, type=fresh.type or output.type))
    try:
        return await _whole(fresh.url, copy)
    except _Expired as answer:
        raise Retry(f"{answer}, though the URL is new") from None


async def _whole(url: str, copy: _Copy) -> None:
    """Fetch all of a file; where the connection breaks, go on from there, if its storage can."""
    for _ in range(_RESUMES):
        before = copy.part.size
        try:
            return await _piece(url, copy)
        except _Broken as trouble:
            if copy.validator is None or copy.part.size <= before:
                raise Retry(f"broken off: {trouble}") from None
            copy.wanted.context.log.info("output_resumed", name=copy.wanted.name, at=copy.part.size)
    raise Retry(f"broken off {_RESUMES} times")


async def _piece(url: str, copy: _Copy) -> None:
    """Fetch what is missing of a file. The errors from here tell no URL: it is signed, and httpx's own might."""
    headers = {"accept-encoding": "identity"}
    if copy.validator and copy.part.size:
        headers |= {"range": f"bytes={copy.part.size}-", "if-range": copy.validator}
    try:
        async with copy.wanted.context.http.stream("GET", url, headers=headers) as answer:
            await _check_head(answer, copy)
            async for chunk in answer.aiter_bytes(_CHUNK):
                await _take(chunk, answer, copy)
            _check_length(answer, copy)
    except httpx.InvalidURL:
        raise _Expired("its URL is malformed") from None
    except (AddressRefused, httpx.ConnectError) as error:  # told in this machine's words
        raise Retry(f"not reached: {error}") from None
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise _Broken(type(error).__name__) from None


async def _check_head(answer: httpx.Response, copy: _Copy) -> None:
    told = f"{answer.url.host} answered {answer.status_code}"
    if answer.status_code in _EXPIRED:
        raise _Expired(told)
    if answer.status_code == 206 and _goes_on(answer, copy):
        return
    if answer.status_code != 200:
        raise Retry(told, after=retry_after(answer.headers, now=time.time()))
    encoding = answer.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "deflate"):
        raise Retry("it came in an encoding that was not asked for")
    await copy.part.restart()
    copy.kind, copy.announced = "", _announced(answer)
    copy.validator = _validator(answer) if encoding == "identity" else None
    _check_limit(max(copy.announced or 0, copy.wanted.output.size or 0), copy.wanted.context)


def _goes_on(answer: httpx.Response, copy: _Copy) -> bool:
    """Whether a partial answer is what comes next, to the file's end."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", answer.headers.get("content-range", ""))
    if match is None or copy.validator is None or "content-encoding" in answer.headers:
        return False
    first, last, size = map(int, match.groups())
    return first == copy.part.size and last == size - 1 and copy.announced in (None, size)


def _validator(answer: httpx.Response) -> str | None:
    """Return what tells that a file is still the same: a strong ETag, or else the moment it was last changed."""
    tag, changed = (str(answer.headers.get(name, "")) for name in ("etag", "last-modified"))
    return tag if tag.startswith('"') else changed or None


async def _take(chunk: bytes, answer: httpx.Response, copy: _Copy) -> None:
    _check_limit(copy.part.size + len(chunk), copy.wanted.context)
    copy.kind = copy.kind or _kind(chunk, answer, copy.wanted.output)
    await copy.part.write(chunk)


def _check_limit(size: int, context: Context) -> None:
    if size > context.max_file:
        raise GiveUp(f"it is larger than {context.max_file} bytes, see RECEIVER_MAX_FILE")


def _kind(head: bytes, answer: httpx.Response, output: Output) -> str:
    kind = media_type(head, declared=answer.headers.get("content-type", ""), wanted=output.type)
    if kind is None:
        raise Retry("a page or a message came in place of media")
    return kind


def _check_length(answer: httpx.Response, copy: _Copy) -> None:
    announced, came = _announced(answer), answer.num_bytes_downloaded
    if announced not in (None, came):
        raise _Broken(f"{came} bytes came, {announced} were announced")


def _announced(answer: httpx.Response) -> int | None:
    text = answer.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


async def _keep(copy: _Copy) -> dict[str, Any]:
    """Keep a file that is whole, and its description; return that."""
    wanted, part = copy.wanted, copy.part
    if not part.size:
        raise Retry("it came empty")
    if wanted.output.size not in (None, part.size):
        raise Retry(f"{part.size} bytes came, the provider spoke of {wanted.output.size}")
    file = f"{wanted.name}.{extension(copy.kind)}"
    await part.keep(file, media_type=copy.kind)
    description = {
        "file": file,
        "event_id": wanted.event.id,
        "source": wanted.event.source,
        "job_id": wanted.event.job_id,
        "file_id": wanted.output.id,
        "size": part.size,
        "sha256": part.sha256,
        "media_type": copy.kind,
        "captured_at": round(time.time(), 3),
    }
    async with wanted.context.files.new(wanted.name) as beside:
        await beside.write(json.dumps(description, indent=2).encode() + b"\n")
        await beside.keep(f"{wanted.name}.json", media_type="application/json")
    return description


def _verdict(problems: Sequence[tuple[Output, Retry | GiveUp]], *, outputs: int, attempt: int) -> Retry | GiveUp:
    """Return what the run ends with: it retries as long as one of the problems may pass."""
    told = "; ".join(f"{_word(output.id)}: {problem}" for output, problem in problems[:_TOLD])
    reason = f"{len(problems)} of {outputs} outputs not captured: {told}"
    retries = [problem for _, problem in problems if isinstance(problem, Retry)]
    if not retries:
        return GiveUp(reason)
    asked = [retry.after for retry in retries if retry.after is not None]
    after = within_reason(max(asked), attempt=attempt) if asked else None
    return Retry(reason, after=after)


def _word(text: str) -> str:
    """Return a stranger's text as part of a file name: letters, digits, `-`, `_`, at most 48 of them."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:48]
