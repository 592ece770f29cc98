"""The commands `receiver` and `register-webhook`. Exit codes: 0 done, 1 it failed, 2 wrong usage or settings."""

import sys
from collections.abc import Callable

import typer

from ..errors import ReceiverError
from ..logs import scrub
from . import alarms, endpoints, erase, events, handlers, jobs, outputs, prune, runs, secrets, services, stats, verify
from .output import complain

app = typer.Typer(
    name="receiver",
    help="Receive what AI media providers have finished, keep it, and run your handlers on it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
services.add_to(app)
app.add_typer(events.app)
app.add_typer(runs.app)
app.add_typer(jobs.app)
app.add_typer(outputs.app)
app.add_typer(alarms.app)
app.add_typer(endpoints.app)
app.add_typer(handlers.app)
app.add_typer(secrets.app)
app.command("prune")(prune.prune)
app.command("erase")(erase.erase)
app.command("stats")(stats.stats)
app.command("sources")(handlers.sources)
app.command("verify")(verify.verify)

_register = typer.Typer(name="register-webhook", pretty_exceptions_enable=False, add_completion=False)
_register.command()(endpoints.register)


def main() -> None:
    """Run the `receiver` command."""
    _run(app)


def register_webhook() -> None:
    """Run the `register-webhook` command."""
    _run(_register)


def _run(command: Callable[[], object]) -> None:
    try:
        command()
    except ReceiverError as error:
        complain(scrub(str(error)))
        sys.exit(error.exit_code)
