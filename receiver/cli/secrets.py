"""The commands about secrets."""

import typer

from ..vault import new_key

app = typer.Typer(name="secrets", help="Keys and signing secrets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keys and signing secrets."""


@app.command("key")
def key() -> None:
    """Print a fresh key for RECEIVER_SECRET_KEY."""
    typer.echo(new_key())
