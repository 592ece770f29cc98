"""The worker process that a supervisor starts, without all that only the commands of `receiver` need."""

import argparse
import sys

from . import logs
from .errors import ConfigError, ReceiverError
from .settings import load
from .worker import run_worker


def main() -> None:
    """Run a worker as the arguments after `receiver worker --supervised` say. Exit codes are those of `receiver`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--after", help="a worker that died")
    parser.add_argument("--meters", type=int, help="the pipe to tell the supervisor through")
    told = parser.parse_args(sys.argv[3:])
    try:
        settings = load()
        logs.configure(format=settings.log_format, level=settings.log_level, secrets=settings.secrets)
        run_worker(settings, name=told.name, after=told.after, supervised=True, pipe=told.meters)
    except ReceiverError as error:
        sys.stderr.write(f"error: {logs.scrub(str(error))}\n")
        sys.exit(2 if isinstance(error, ConfigError) else 1)
