"""Pages from templates. What is shown is text, never HTML, and names no secret."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..ids import made_at
from ..recall import safe
from ..usual import is_overdue

View = Callable[[Request], Awaitable[Response]]

#: Method, path and what answers.
Views = Iterator[tuple[str, str, View]]

HERE = Path(__file__).parent
STATIC = HERE / "static"

#: Nothing from elsewhere, nothing inline, in nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

#: Said with every page.
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

#: Characters of a body that are shown.
SHOWN = 200_000

#: What the menu has: path and name.
MENU = (
    ("/", "Overview"),
    ("/events", "Events"),
    ("/jobs", "Jobs"),
    ("/runs", "Runs"),
    ("/refused", "Refused"),
    ("/endpoints", "Endpoints"),
    ("/handlers", "Handlers"),
)

#: What moves or hides the text around it, or is no text at all.
_UNSEEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


class Missing(Exception):
    """There is nothing to show at this path; the message says what."""


class Pages:
    """The templates, and what they need to show times and numbers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"menu": MENU, "asset": asset, "query": query, "shown": shown}
        self._environment.tests["overdue"] = is_overdue
        self._environment.filters |= {
            "since": lambda moment: since(moment, clock()),
            "made": made_at,
            "took": took,
            "number": number,
            "size": size,
            "percent": percent,
            "told": told,
            "breakable": breakable,
        }

    def render(self, template: str, **values: Any) -> str:
        """Return what a template makes of the values."""
        return self._environment.get_template(template).render(now=self._clock(), **values)

    def answer(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page."""
        path = request.url.path
        here = "/" if path == "/" else "/" + path.split("/")[1]
        return HTMLResponse(self.render(template, here=here, **values), status, HEADERS)


def visible(value: object) -> object:
    """Return text in which every character can be seen; anything else as it is."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNSEEN.sub(lambda found: f"\u27e8u+{ord(found[0]):04x}\u27e9", value)


def breakable(text: str) -> Markup:
    """Return a name that may go on in the next line after a dot."""
    return Markup(str(escape(visible(text))).replace(".", ".<wbr>"))  # noqa: S704 - escaped


def told(value: str | None) -> str:
    """Return text of a stranger without secrets and signatures."""
    return "" if value is None else str(safe(value))


def pretty(body: bytes) -> tuple[str, str | None]:
    """Return a body as indented JSON without secrets and signatures, and a remark if that is not all of it.

    A large one takes long: not for the loop that answers deliveries.
    """
    try:
        text = _indented(safe(json.loads(body)))
    except (ValueError, RecursionError):
        text = told(body[:SHOWN].decode("utf-8", "backslashreplace"))
        return text, f"This is no JSON; {min(len(body), SHOWN):,} of its {len(body):,} bytes are shown."
    if len(text) > SHOWN:
        return text[:SHOWN], f"The first {SHOWN:,} characters of its {len(body):,} bytes are shown."
    return text, None


def _indented(data: Any) -> str:
    """Return JSON as far as it is shown, or a little more."""
    pieces, length = [], 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(data):
        pieces.append(piece)
        length += len(piece)
        if length > SHOWN:
            break
    return "".join(pieces)


def shown(data: object) -> str:
    """Return JSON data on one line, without secrets and signatures."""
    return json.dumps(safe(data), ensure_ascii=False)


def since(moment: float | None, now: float) -> Markup:
    """Return a moment as people say it, with the exact one in its title."""
    if moment is None:
        return Markup('<span class="none">never</span>')
    exact = datetime.fromtimestamp(moment, UTC)
    # Nothing in it is anybody's text, and the lists have many.
    at, title = exact.isoformat(timespec="milliseconds"), exact.strftime("%Y-%m-%d %H:%M:%S")
    return Markup(f'<time datetime="{at}" title="{title} UTC">{relative(moment - now)}</time>')  # noqa: S704


def relative(seconds: float) -> str:
    """Return `3 min ago` or `in 2 h`."""
    distance = abs(seconds)
    if distance < 1:
        return "now"
    text = _span(distance)
    return f"{text} ago" if seconds < 0 else f"in {text}"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def took(seconds: float | None) -> str:
    """Return how long something took: `3 ms`, `1.20 s`, `4 min 5 s`."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def number(value: float | None) -> str:
    """Return `12,345`."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """Return how much a part is: `12 %`."""
    return f"{100 * part / whole:.3g} %" if whole else "–"


def size(count: float | None) -> str:
    """Return bytes as people say them: `1.5 MB`."""
    if count is None:
        return "–"
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"


def query(values: Mapping[str, Any], **changes: Any) -> str:
    """Return the query of a URL: values with changes, without what is empty."""
    merged = {name: value for name, value in {**values, **changes}.items() if value not in (None, "")}
    return f"?{urlencode(merged)}" if merged else ""


def _versions() -> dict[str, str]:
    files = (path for path in STATIC.rglob("*") if path.suffix in ASSETS)
    return {path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}


#: What is served beside the pages, by the ends of the files' names.
ASSETS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_VERSIONS = _versions()


def asset(name: str) -> str:
    """Return the path of a static file. It changes when the file does, so that browsers may keep it for good."""
    return f"/static/{_VERSIONS[name]}/{name}"
