"""Erase all that is known of a job: in the store, and the files that were captured of it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


async def erase(store: Store, subjects: Sequence[Subject], *, files: Path, dry_run: bool = False) -> Erased:
    """Erase jobs, each with its files before its rows: what was cut short can be done again. Raises Unavailable.

    Only files in the folder `files` are deleted.
    """
    told = Erased()
    for subject in subjects:
        name = subject.job_id or subject.id
        if why := await store.erasures.busy(subject):
            told.busy.append(f"{subject.source} {name}: {why}")
            continue
        for place in await store.erasures.places(subject):
            if await asyncio.to_thread(_remove, place, files, dry_run):
                told.files += 1
            else:
                told.left.append(place)
        rows = await (store.erasures.count(subject) if dry_run else store.erasures.erase(subject))
        if rows is None:
            told.busy.append(f"{subject.source} {name}: its handlers are at work again: try again in a moment")
            continue
        told.jobs += 1
        told.rows += Counter(rows)
    return told


def _remove(place: str, files: Path, dry_run: bool) -> bool:
    """Delete a captured file and what is written beside it; return whether it was here."""
    path = Path(place) if "://" not in place else None
    if path is None or not path.resolve().is_relative_to(files.resolve()) or not path.is_file():
        return False
    if not dry_run:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    return True
