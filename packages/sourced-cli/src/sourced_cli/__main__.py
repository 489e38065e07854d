"""Lets `python -m sourced_cli` be the `sourced` command."""

from sourced_cli._main import main

main()
