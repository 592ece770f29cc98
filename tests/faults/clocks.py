"""Workers whose clocks are wrong, and jump."""

from pathlib import Path

from .handlers import RETRYING, SKEWED
from .history import Row
from .outcome import Outcome
from .rig import Rig

FIVE_MINUTES, HOUR = 300, 3600

#: Seconds after which an attempt that asked to run again in a second is surely late.
LATE = 10.0


def apart(rig: Rig, *, times: int) -> Outcome:
    """Let two workers disagree by five minutes and more, and each jump by an hour; the store's clock is right."""
    clocks = [rig.folder / f"clock-{number}" for number in range(2)]
    _jump(rig, clocks, [(FIVE_MINUTES, -FIVE_MINUTES, HOUR, -HOUR, 0)[number % 5] for number in range(times)])
    waits = sorted(_waits(rig.effects()))
    verdict = rig.verdict().with_violations(
        [f"a retry came after {wait:.1f} s instead of 1 s" for wait in waits if not 0.9 <= wait <= LATE]
    )
    note = f"retries asked for after 1 s came after {waits[0]:.1f} to {waits[-1]:.1f} s"
    return Outcome(
        fault="workers' clocks five minutes apart, an hour off",
        engine=rig.engine,
        times=times,
        verdict=verdict,
        note=note,
    )


def ahead(rig: Rig, *, times: int) -> Outcome:
    """Let the machine's clock, which is the store's too, jump ahead by an hour: every lease ends."""
    clock = rig.folder / "clock"
    _jump(rig, [clock, clock], [HOUR * number for number in range(times)])
    verdict = rig.verdict()
    note = f"{verdict.taken_over} attempts taken over"
    return Outcome(fault="clock jumps ahead an hour", engine=rig.engine, times=times, verdict=verdict, note=note)


def back(rig: Rig, *, times: int) -> Outcome:
    """Let the machine's clock jump back by an hour, and ahead again: what comes meanwhile is handled as ever."""
    clock = rig.folder / "clock"
    _jump(rig, [clock, clock], [0 if number % 2 else -HOUR for number in range(2 * times)])
    verdict = rig.verdict()
    handled = sum(row["what"] == "effect" for row in rig.effects())
    note = f"{handled} effects, {verdict.taken_over} attempts taken over"
    return Outcome(fault="clock jumps back an hour", engine=rig.engine, times=times, verdict=verdict, note=note)


def _jump(rig: Rig, clocks: list[Path], offsets: list[int]) -> None:
    [web], _ = rig.fleet(workers=0)
    for clock in clocks:
        _set(clock, 0)
        rig.worker(handlers=SKEWED + RETRYING, CLOCK=str(clock)).start()
    with rig.sending(web) as sender:
        for number, offset in enumerate(offsets):
            sender.more(rig.random.randint(20, 60))
            rig.more_effects(20)
            _set(clocks[number % 2], offset)
            rig.more_effects(5)
            rig.look()
    rig.settle()


def _set(clock: Path, offset: int) -> None:
    new = clock.with_suffix(".new")
    new.write_text(str(offset))
    new.replace(clock)


def _waits(effects: list[Row]) -> list[float]:
    """Return the seconds between first and second attempts, by a clock that is right."""
    starts = [row for row in effects if row["what"] == "start"]
    first = {row["event"]: row["at"] for row in starts if row["attempt"] == 1}
    return [row["at"] - first[row["event"]] for row in starts if row["attempt"] == 2]
