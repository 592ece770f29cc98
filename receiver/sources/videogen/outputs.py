"""The files that a VideoGen job made, in every shape its answers and webhooks have had."""

from collections.abc import Mapping
from typing import Any

from ...events import Output, seconds
from ..wire import mapping, mappings, name


def of_job(job: Mapping[str, Any]) -> tuple[Output, ...]:
    """Return the files of a tool execution, a workflow run or a project export.

    Entries without a file id are left out: nobody could ask for them again.
    """
    found = [(_file_id(result), result) for result in mappings(job.get("results"))]
    found.append((name(job.get("exportFileId")), dict(job)))
    if "exportFileId" not in job and "results" not in job:  # an imported file, most likely
        found.append((_file_id(job), dict(job)))
    return tuple(_output(file_id, result) for file_id, result in found if file_id)


def first_expiry(job: Mapping[str, Any]) -> float | None:
    """Return when the first of the URLs of these files stops working, without making outputs of them."""
    first = None
    for result in (*mappings(job.get("results")), job):
        file = mapping(result.get("file"))
        best = mapping(file.get("downloadSource"))
        told = (result.get("downloadUrlExpiresAt"), file.get("downloadUrlExpiresAt"), best.get("expiresAt"))
        for moment in map(seconds, filter(None, told)):
            if moment is not None and (first is None or moment < first):
                first = moment
    return first


def of_file(file: Mapping[str, Any], *, id: str) -> Output:
    """Return a file as it is described when asked for by itself."""
    return _output(id, {"file": file})


def _file_id(result: Mapping[str, Any]) -> str | None:
    return name(result.get("fileId")) or name(mapping(result.get("file")).get("fileId"))


def _output(file_id: str, result: Mapping[str, Any]) -> Output:
    # Each vintage of the API has some of these three places for the URL.
    file = mapping(result.get("file"))
    best = mapping(file.get("downloadSource"))
    places = [
        (result.get("downloadUrl"), result.get("downloadUrlExpiresAt")),
        (file.get("downloadUrl"), file.get("downloadUrlExpiresAt")),
        (best.get("url") if best.get("status") == "ready" else None, best.get("expiresAt")),
    ]
    url = next((url for url, _ in places if _is_url(url)), None)
    expiries = [seconds(expires_at) for place, expires_at in places if url and place == url]
    return Output(
        id=file_id,
        type=name(result.get("type")) or name(file.get("type")),
        url=url,
        expires_at=next((moment for moment in expiries if moment is not None), None),
        size=_size(best.get("fileBytes")) if url and best.get("url") == url else None,
        temporary=file.get("scope") == "TEMPORARY",
    )


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and value.isprintable()


def _size(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None
