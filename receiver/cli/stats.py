"""The command that tells how it goes."""

import json
from collections import Counter
from typing import Annotated, Any, Literal

import typer

from .link import Link, linked
from .output import Json, console, moment, show, tell


@linked()
async def stats(
    link: Link,
    as_json: Json = False,
    span: Annotated[Literal["minute", "hour"], typer.Option(help="What to count by.")] = "minute",
    spans: Annotated[int, typer.Option(min=1, max=1440, help="How many of them.")] = 10,
) -> None:
    """Tell what is left to do, and how much happened in each of the last minutes or hours."""
    found = await link.get("/stats", span=span, spans=spans)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in {**_left(found), "refused": _refused(found)}.items():
        tell((f"{name:<16}", "bold"), value)
    console.print()
    columns = ("at", "events", "duplicates", "refused", "done", "retry", "failed", "lost")
    rows = [{**row, "at": moment(row["at"])} for row in found["counts"]]
    show(rows, columns, as_json=False, empty="Nothing was counted.")


def _took(seconds: dict[str, float | None] | None) -> str:
    if seconds is None:
        return "none"
    return ", ".join(
        f"{share.removeprefix('p')} % in {'over 10' if upto is None else f'{upto:g}'} s"
        for share, upto in seconds.items()
    )


def _refused(found: dict[str, Any]) -> str:
    reasons: Counter[str] = Counter()
    for count in found["counts"]:
        reasons.update(count["refusals"])
    return ", ".join(f"{reason} {number}" for reason, number in reasons.most_common()) or "none"


def _left(found: dict[str, Any]) -> dict[str, str]:
    waiting = ", ".join(f"{handler} {number}" for handler, number in found["waiting"].items())
    jobs = [f"{source} {number} {state}" for source, of in found["open_jobs"].items() for state, number in of.items()]
    return {
        "backlog": f"{found['backlog_age']:.1f} s old" if found["backlog_age"] else "none",
        "waiting runs": waiting or "none",
        "running runs": str(found["running"]),
        "open jobs": ", ".join(jobs) or "none",
        "recovered": ", ".join(f"{source} {number}" for source, number in found["recovered"].items()) or "none",
        "acks": _took(found["ack_seconds"]),
        "attempts": _took(found["attempt_seconds"]),
        "last heard": ", ".join(f"{source} {moment(at)} UTC" for source, at in found["heard"].items()) or "never",
    }
