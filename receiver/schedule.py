"""When to ask a provider about a job next. Pure: ages in, seconds out."""

from collections.abc import Sequence

#: Seconds between two questions about one job, at least and at most.
QUICKEST, SLOWEST = 2.0, 300.0

#: Seconds that a job of an unknown tool is taken to need.
UNKNOWN = 60.0

#: How far a wait may be off what was planned, either way: jobs that began together are not asked together.
JITTER = 0.1

#: A job that a webhook should end is asked about when it takes so many times its usual time, and not sooner than
#: so many seconds: a webhook may be late, or be tried again.
OVERDUE, PATIENCE = 3.0, 30.0


def usual(took: Sequence[float], guess: float) -> float:
    """Return the seconds that a job is likely to take: the median of the last ones, given sorted, or a guess."""
    return took[len(took) // 2] if len(took) >= 3 else guess


def next_question(age: float, usual: float, *, roll: float) -> float:
    """Return the seconds until a job of this age, in seconds, is asked about again.

    Before its usual time the waits grow with its age, as some are quick; around it they are short; then they grow
    again. `roll`, from 0 to 1, places the wait within the jitter.
    """
    if age < 0.75 * usual:
        wait = min(age / 2, usual / 8)
    elif age < 2 * usual:
        wait = usual / 10
    else:
        wait = age / 8
    return spread(min(SLOWEST, max(QUICKEST, wait)), roll)


def next_reconcile(age: float, usual: float, *, latest: float, roll: float) -> float:
    """Return the seconds until a job of this age is asked about that a webhook should have ended.

    It is asked when it is overdue, then with ever longer waits; no wait is longer than `latest` seconds.
    """
    overdue = min(latest, max(PATIENCE, OVERDUE * usual))
    return spread(overdue - age if age < overdue else min(latest, max(PATIENCE, age / 2)), roll)


def after_failure(failures: int, *, asked_to_wait: float | None, roll: float) -> float:
    """Return the seconds to wait after so many failures in a row, at least as long as the provider asked for."""
    wait = min(SLOWEST, QUICKEST * 2.0 ** min(failures, 20))
    if asked_to_wait is None or asked_to_wait < wait:
        return spread(wait, roll)
    return asked_to_wait * (1 + JITTER * roll)  # never sooner than asked for


def spread(seconds: float, roll: float) -> float:
    """Return about so many seconds, within the jitter."""
    return seconds * (1 + JITTER * (2 * roll - 1))
