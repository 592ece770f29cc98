"""`python -m receiver` is the `receiver` command."""

from .cli import main

main()
