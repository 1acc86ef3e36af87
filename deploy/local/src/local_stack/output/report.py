"""Prints the journey's progress: each step with its time, then the verdict. Plain lines without a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class CheckFailedError(AssertionError):
    """A check of the journey failed; the text says which."""


def check(holds: object, otherwise: str) -> None:
    """Checks a condition.

    Raises:
        CheckFailedError: It doesn't hold; with the text.
    """
    if not holds:
        raise CheckFailedError(otherwise)


class Step:
    """A step in progress."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Adds a note to the step's line."""
        self.notes.append(text)


class Report:
    """Prints steps as they end, and the step in progress if the output is a terminal.

    Attributes:
        steps: How many steps held.
        skipped: How many were skipped.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.steps = 0
        self.skipped = 0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the report began."""
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        """Starts a group of steps."""
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def done(self, what: str, seconds: float, notes: str = "") -> None:
        """Prints a step that held."""
        self._line("[green]✓[/]", what, f"{seconds:6.2f} s", notes)

    def skip(self, what: str, why: str) -> None:
        """Prints a step that is skipped, and why."""
        self.skipped += 1
        self.console.print(f"[yellow]SKIPPED[/] {escape(what)}: {escape(why)}")

    def trouble(self, text: str) -> None:
        """Prints a problem outside of the steps, such as a process that died."""
        self.console.print(f"[red]! {escape(text)}[/]")

    def verdict(self, *, held: bool) -> None:
        """Prints the last line."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        if held:
            self.console.print(f"\n[bold green]Every step held[/] ({self.steps} steps{skipped}, {self.seconds:.1f} s)")
        else:
            self.console.print(f"\n[bold red]The journey failed[/] after {self.steps} steps ({self.seconds:.1f} s)")

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Runs the block as a step. Prints and re-raises its error."""
        step = Step()
        began = time.monotonic()
        try:
            with self.console.status(escape(what)):
                yield step
        except BaseException:
            self._line("[red]✗[/]", what, f"{time.monotonic() - began:6.2f} s", "; ".join(step.notes))
            raise
        self.steps += 1
        self.done(what, time.monotonic() - began, "; ".join(step.notes))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Shows what the block waits for, if the output is a terminal."""
        with self.console.status(escape(what)):
            yield

    def _line(self, mark: str, what: str, time_taken: str, notes: str) -> None:
        tail = f"  [dim]{escape(notes)}[/]" if notes else ""
        self.console.print(f"  {mark} [cyan]{time_taken}[/]  {escape(what)}{tail}")
