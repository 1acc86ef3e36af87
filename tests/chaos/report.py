"""What a run says: a line per fault, the figures, each check, and the verdict, which is the last line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

SHOWN = 10
"""Violations of one check that are shown; all of them are counted."""


class Report:
    """Prints as it goes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._violations = 0

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def line(self, text: str) -> None:
        """Says what happens, with the time."""
        print(f"{self.seconds:7.1f} s  {text}", flush=True)

    def figures(self, heading: str, figures: Mapping[str, int]) -> None:
        """Prints numbers under a heading."""
        print(f"\n{heading}")
        for name, value in figures.items():
            print(f"  {value:>8,}  {name}")

    def check(self, name: str, wrong: Sequence[str]) -> None:
        """Prints what a check has found."""
        self._violations += len(wrong)
        print(f"{'✗' if wrong else '✓'} {name}{f': {len(wrong)} violations' if wrong else ''}")
        for each in wrong[:SHOWN]:
            print(f"    {each}")

    @property
    def held(self) -> bool:
        """Whether no check so far has found anything."""
        return not self._violations

    def verdict(self, faults: int, seed: int) -> None:
        """Prints the last line."""
        about = f"{faults} faults, seed {seed}, {self.seconds:.0f} s"
        print(f"\nHELD: {about}" if self.held else f"\nBROKEN: {self._violations} violations, {about}", flush=True)
