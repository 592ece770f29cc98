"""What became of a fault: a row of the scorecard."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from .history import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fault on one engine, so many times. Without a verdict it could not be tried here."""

    fault: str
    engine: str
    times: int
    verdict: Verdict | None = None
    note: str = ""  #: why it could not be tried, or what else is worth knowing

    @property
    def failed(self) -> bool:
        """Whether the history does not hold."""
        return self.verdict is not None and bool(self.verdict.violations)


def together(outcomes: Sequence[Outcome], *, note: str = "") -> Outcome:
    """Return one row for the same fault tried in several ways."""
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict]
    totals = {field.name: [getattr(verdict, field.name) for verdict in verdicts] for field in fields(Verdict)}
    violations = tuple(text for told in totals.pop("violations") for text in told)
    return Outcome(
        fault=outcomes[0].fault,
        engine=outcomes[0].engine,
        times=sum(outcome.times for outcome in outcomes),
        verdict=Verdict(**{name: sum(values) for name, values in totals.items()}, violations=violations),
        note=note,
    )


def broken(fault: str, error: Exception) -> Outcome:
    """Return the row of a fault that could not be carried through: the receiver did not come back from it."""
    text = f"{type(error).__name__}: {error}"
    verdict = Verdict(acked=0, refused=0, stored=0, lost=0, doubled=0, taken_over=0, violations=(text,))
    return Outcome(fault=fault, engine="-", times=0, verdict=verdict, note=text[:100])
