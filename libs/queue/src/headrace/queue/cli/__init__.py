"""The command `headrace`: what an operator does to an installation from a shell. One module per noun."""

from headrace.queue.cli.app import app, main

__all__ = ["app", "main"]
