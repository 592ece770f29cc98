"""Keep the files that jobs made, before their URLs expire.

Each output ends as two files in the folder for outputs: the media itself, and beside it a `.json` that
says where it came from, its size and its SHA-256. Nothing has its name there before it is complete,
checked and on the disk, so whatever watches the folder may take a file as soon as it sees it.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from receiver import AddressRefused, Context, Event, GiveUp, Output, ProviderError, Retry, handler

from ._media import extension, media_type
from ._part import Part, kept

#: Bytes that are written at once.
_CHUNK = 2**20

#: What storages answer when a URL has expired; S3 says 400 if the key that signed it has.
_EXPIRED = {400, 401, 403, 404, 410}

#: The first wait for a file that the provider still prepares, and the longest wait a server may ask for, seconds.
_PREPARING, _LONGEST_WAIT = 10.0, 3600.0

#: Outputs of one job whose problems are told, of perhaps a hundred.
_TOLD = 10


class _Expired(Exception):
    """A URL that does not work any more. The message is what was answered."""


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
    """Keep all outputs of a finished job in `context.files`. Those that are there already are left alone."""
    if not event.outputs:
        context.log.info("no_outputs")
    problems = []
    for output in sorted(event.outputs, key=_urgency):
        try:
            await _keep(_Wanted(event, output, context))
        except (Retry, GiveUp) as problem:
            await context.missed(output, str(problem))
            problems.append((output, problem))
    if problems:
        raise _verdict(problems, outputs=len(event.outputs), attempt=context.attempt)


def _urgency(output: Output) -> float:
    return math.inf if output.expires_at is None else output.expires_at


async def _keep(wanted: _Wanted) -> None:
    """Keep one output, with the URL that came or with a new one."""
    output, context = wanted.output, wanted.context
    if description := await asyncio.to_thread(kept, context.files, wanted.name):
        context.log.info("output_already_kept", name=wanted.name)
        await _record(wanted, description)
        return
    if output.url and (output.expires_at is None or output.expires_at > time.time()):
        with contextlib.suppress(_Expired):
            await _fetch(output.url, wanted)
            return
    try:
        fresh = await context.refresh(output)
    except ProviderError as error:
        raise Retry(f"no new URL: {error}", after=error.retry_after) from None
    if fresh.url is None:
        raise Retry("the provider still prepares it", after=_PREPARING)
    try:
        await _fetch(fresh.url, replace(wanted, output=replace(fresh, id=output.id, type=fresh.type or output.type)))
    except _Expired as answer:
        raise Retry(f"{answer}, though the URL is new") from None


async def _fetch(url: str, wanted: _Wanted) -> None:
    """Fetch an output into its file. The errors from here tell no URL: it is signed, and httpx's own might."""
    try:
        async with wanted.context.http.stream("GET", url, headers={"accept-encoding": "identity"}) as answer:
            _check_head(answer, wanted)
            await _save(answer, wanted)
    except httpx.InvalidURL:
        raise _Expired("its URL is malformed") from None
    except (AddressRefused, httpx.ConnectError) as error:  # told in this machine's words
        raise Retry(f"not reached: {error}") from None
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise Retry(f"broken off: {type(error).__name__}") from None
    except OSError as error:
        raise Retry(f"cannot write to the folder for outputs: {error.strerror}") from None


def _check_head(answer: httpx.Response, wanted: _Wanted) -> None:
    told = f"{answer.url.host} answered {answer.status_code}"
    if answer.status_code in _EXPIRED:
        raise _Expired(told)
    if answer.status_code != 200:
        raise Retry(told, after=_retry_after(answer.headers.get("retry-after", "")))
    if answer.headers.get("content-encoding", "identity").lower() not in ("identity", "gzip", "deflate"):
        raise Retry("it came in an encoding that was not asked for")
    _check_limit(max(_announced(answer) or 0, wanted.output.size or 0), wanted.context)


def _check_limit(size: int, context: Context) -> None:
    if size > context.max_file:
        raise GiveUp(f"it is larger than {context.max_file} bytes, see RECEIVER_MAX_FILE")


async def _save(answer: httpx.Response, wanted: _Wanted) -> None:
    # The disk is used in threads only: a slow one must not hold up the other runs of this worker, nor their leases.
    part = await asyncio.to_thread(Part, wanted.context.files, wanted.name)
    try:
        kind = ""
        async for chunk in answer.aiter_bytes(_CHUNK):
            _check_limit(part.size + len(chunk), wanted.context)
            kind = kind or _kind(chunk, answer, wanted.output)
            await asyncio.to_thread(part.write, chunk)
        _check_size(part.size, answer, wanted.output)
        file = f"{wanted.name}.{extension(kind)}"
        await asyncio.to_thread(part.keep, file)
        description = _description(wanted, file=file, size=part.size, sha256=part.sha256, media_type=kind)
        await asyncio.to_thread(_describe, wanted, description)
    finally:
        await asyncio.to_thread(part.discard)
    await _record(wanted, description)
    wanted.context.log.info("output_kept", file=file, size=part.size)


async def _record(wanted: _Wanted, description: dict[str, Any]) -> None:
    facts = {name: description[name] for name in ("size", "sha256", "media_type")}
    await wanted.context.captured(wanted.output, place=str(wanted.context.files / description["file"]), **facts)


def _kind(head: bytes, answer: httpx.Response, output: Output) -> str:
    kind = media_type(head, declared=answer.headers.get("content-type", ""), wanted=output.type)
    if kind is None:
        raise Retry("a page or a message came in place of media")
    return kind


def _check_size(size: int, answer: httpx.Response, output: Output) -> None:
    announced, came = _announced(answer), answer.num_bytes_downloaded
    if not size:
        raise Retry("it came empty")
    if announced not in (None, came):
        raise Retry(f"{came} bytes came, {announced} were announced")
    if output.size not in (None, size):
        raise Retry(f"{size} bytes came, the provider spoke of {output.size}")


def _announced(answer: httpx.Response) -> int | None:
    text = answer.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _description(wanted: _Wanted, *, file: str, size: int, sha256: str, media_type: str) -> dict[str, Any]:
    return {
        "file": file,
        "event_id": wanted.event.id,
        "source": wanted.event.source,
        "job_id": wanted.event.job_id,
        "file_id": wanted.output.id,
        "size": size,
        "sha256": sha256,
        "media_type": media_type,
        "captured_at": round(time.time(), 3),
    }


def _describe(wanted: _Wanted, description: dict[str, Any]) -> None:
    part = Part(wanted.context.files, wanted.name)
    try:
        part.write(json.dumps(description, indent=2).encode() + b"\n")
        part.keep(f"{wanted.name}.json")
    finally:
        part.discard()


def _verdict(problems: Sequence[tuple[Output, Retry | GiveUp]], *, outputs: int, attempt: int) -> Retry | GiveUp:
    """Return what the run ends with: it retries as long as one of the problems may pass."""
    told = "; ".join(f"{_word(output.id)}: {problem}" for output, problem in problems[:_TOLD])
    reason = f"{len(problems)} of {outputs} outputs not kept: {told}"
    retries = [problem for _, problem in problems if isinstance(problem, Retry)]
    if not retries:
        return GiveUp(reason)
    asked = [retry.after for retry in retries if retry.after is not None]
    # A server that says "in a second" each time must not use up the attempts.
    after = max(2.0 ** min(attempt, 10), min(max(asked), _LONGEST_WAIT)) if asked else None
    return Retry(reason, after=after)


def _retry_after(text: str) -> float | None:
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _word(text: str) -> str:
    """Return a stranger's text as part of a file name: letters, digits, `-`, `_`, at most 48 of them."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:48]
