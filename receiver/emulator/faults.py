"""What goes wrong with an emulated API's answers, decided anew for each request."""

from collections.abc import Callable

from starlette.responses import PlainTextResponse, Response

from .knobs import Knobs


class Faults:
    """Which answers are none: a server error, a rate limit, or something that is no JSON.

    `down` makes every answer a server error until it is taken back.
    """

    def __init__(self, knobs: Knobs) -> None:
        self.down = False
        self._knobs = knobs
        self._asked = 0

    def answer(self, limited: Callable[[], Response]) -> Response | None:
        """Return what comes in place of the next answer, None if nothing does. `limited` makes a rate limit."""
        self._asked += 1
        if self.down:
            return _outage()
        roll = self._knobs.dice("answer", self._asked).random()
        for share, made in (
            (self._knobs.outage, _outage),
            (self._knobs.limit, limited),
            (self._knobs.garbage, _garbage),
        ):
            if roll < share:
                return made()
            roll -= share
        return None


def _outage() -> Response:
    return PlainTextResponse("upstream connect error", 503)


def _garbage() -> Response:
    return Response("<html><body>Just a moment…</body></html>", 200, media_type="text/html")
