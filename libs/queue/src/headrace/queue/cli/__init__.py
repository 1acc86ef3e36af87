"""The command `headrace`: what an operator does to an installation from a shell. One module per noun."""

try:
    from headrace.queue.cli.app import app, main
except ModuleNotFoundError as error:  # the command is installed with the engine, and what it is made of is not
    error.add_note("The command headrace needs the extra `cli`: pip install 'headrace-queue[cli]'")
    raise

__all__ = ["app", "main"]
