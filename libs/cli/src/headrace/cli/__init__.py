"""The command `headrace`, made of the commands that installed distributions bring."""

from headrace.cli.program import main

__all__ = ["main"]
