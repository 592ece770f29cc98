"""Erase all that is known of a job: in the store, and the files that were captured of it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .files import Files, name_at, remove
from .store import Store
from .store.erasure import Subject


@dataclass(slots=True)
class Erased:
    """What was erased, or would be."""

    jobs: int = 0
    rows: Counter[str] = field(default_factory=Counter)  #: by table
    files: int = 0
    left: list[str] = field(default_factory=list)  #: places that somebody else must empty: they are not here
    busy: list[str] = field(default_factory=list)  #: jobs that cannot be erased yet, and why
    last: str | None = None  #: after which job to go on; None at the end


async def erase(store: Store, subjects: Sequence[Subject], *, files: Files, dry_run: bool = False) -> Erased:
    """Erase jobs, each with its files before its rows: what was cut short can be done again. Raises Unavailable.

    Only files in `files` are deleted, and only those that are as they were captured.
    """
    told = Erased()
    for subject in subjects:
        await _erase(store, subject, told, files=files, dry_run=dry_run)
    return told


async def erase_carrying(
    store: Store, name: str, value: str, *, files: Files, dry_run: bool = False, after: str = "", patience: float
) -> Erased:
    """Erase the jobs after that one whose metadata has a value, for `patience` seconds; `last` says where to go on."""
    told, until = Erased(), time.monotonic() + patience
    async for step in store.erasures.carrying(name, value, after=after):
        for subject in step.subjects:
            await _erase(store, subject, told, files=files, dry_run=dry_run)
            if time.monotonic() > until:
                told.last = subject.id
                return told
        if time.monotonic() > until:
            told.last = step.last
            return told
    return told


async def _erase(store: Store, subject: Subject, told: Erased, *, files: Files, dry_run: bool) -> None:
    name = subject.job_id or subject.id
    if why := await store.erasures.busy(subject):
        told.busy.append(f"{subject.source} {name}: {why}")
        return
    for place, size, sha256 in await store.erasures.captured(subject):
        if await _remove(files, place, size, sha256, dry_run=dry_run):
            told.files += 1
        else:
            told.left.append(place)
    rows = await (store.erasures.count(subject) if dry_run else store.erasures.erase(subject))
    if rows is None:
        told.busy.append(f"{subject.source} {name}: its handlers are at work again: try again in a moment")
        return
    told.jobs += 1
    told.rows += Counter(rows)


async def _remove(files: Files, place: str, size: int, sha256: str, *, dry_run: bool) -> bool:
    """Delete a captured file and its description; return whether it was here."""
    file = name_at(files, place)
    try:
        if dry_run:
            return file is not None and await files.holds(file, size=size, sha256=sha256)
        return await remove(files, place, size, sha256)
    except OSError:
        return False
