"""What goes wrong with an emulated API's answers, decided anew for each request."""

from typing import Literal

from .knobs import Knobs

Fault = Literal["outage", "limit", "garbage"]


class Faults:
    """Which answers are none: a server error, a rate limit, or something that is no JSON.

    `down` makes every answer a server error until it is taken back.
    """

    def __init__(self, knobs: Knobs) -> None:
        self.down = False
        self._knobs = knobs
        self._asked = 0

    def next(self) -> Fault | None:
        """Return what is wrong with the next answer; None if it is a good one."""
        self._asked += 1
        if self.down:
            return "outage"
        roll = self._knobs.dice("answer", self._asked).random()
        shares: dict[Fault, float] = {
            "outage": self._knobs.outage,
            "limit": self._knobs.limit,
            "garbage": self._knobs.garbage,
        }
        for fault, share in shares.items():
            if roll < share:
                return fault
            roll -= share
        return None
