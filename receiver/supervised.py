"""The worker process beside a door, without all that only the commands of `receiver` need."""

import argparse
import sys
from collections.abc import Callable

from . import logs
from .errors import ReceiverError
from .settings import load
from .worker import run_worker


def main() -> None:
    """Run a worker as the arguments after `receiver worker --supervised` say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--after", help="a worker that died")
    parser.add_argument("--meters", type=int, help="the pipe to tell the supervisor through")
    told = parser.parse_args(sys.argv[3:])

    def work() -> None:
        settings = load()
        logs.configure(format=settings.log_format, level=settings.log_level, secrets=settings.secrets)
        run_worker(settings, name=told.name, after=told.after, supervised=True, pipe=told.meters)

    sys.exit(exit_code(work))


def exit_code(work: Callable[[], None]) -> int:
    """Do the work and say what stopped it; return the exit code, as those of `receiver` are."""
    try:
        work()
    except ReceiverError as error:
        sys.stderr.write(f"error: {logs.scrub(str(error))}\n")
        return error.exit_code
    return 0
