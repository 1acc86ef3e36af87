"""Which claims of this worker are not wholly decided. The beat publishes the floor; a rescuer reads from there on."""

from __future__ import annotations


class ClaimTracker:
    """Counts, per claim, the jobs whose outcome is not written yet. Claim numbers only grow."""

    def __init__(self) -> None:
        self._next = 1
        self._undecided: dict[int, int] = {}
        self._unanswered: set[int] = set()

    def begin(self) -> int:
        """The number of a claim that is about to be sent."""
        number = self._next
        self._undecided[number] = 0
        self._unanswered.add(number)
        self._next += 1  # only now: see floor
        return number

    def answered(self, number: int, jobs: int) -> None:
        """The claim brought this many jobs."""
        self._unanswered.discard(number)
        if jobs:
            self._undecided[number] = jobs
        else:
            self._undecided.pop(number, None)

    def unclear(self, number: int) -> None:
        """The answer got lost: the claim may or may not have been committed, or may still be.

        It stays open until an audit, long enough after, has looked (see `settle_unclear`).
        """
        self._unanswered.discard(number)

    def settle_unclear(self, number: int) -> None:
        """An audit has given back whatever the unclear claim brought."""
        self._undecided.pop(number, None)

    def job_settled(self, number: int, jobs: int = 1) -> None:
        """So many jobs of the claim have their outcomes in the database, or are no longer ours."""
        left = self._undecided.get(number, 0) - jobs
        if left > 0:
            self._undecided[number] = left
        else:
            self._undecided.pop(number, None)

    def forget(self) -> None:
        """Nothing that was claimed so far is ours any more. Numbers go on growing."""
        self._undecided.clear()

    @property
    def lowest_open(self) -> int:
        """Every job of a claim below this number is decided. May be read from another thread."""
        upcoming = self._next  # read first: a claim that begins meanwhile is not below it
        return min(tuple(self._undecided), default=upcoming)

    @property
    def next(self) -> int:
        """The number of the next claim: every claim so far is below it."""
        return self._next

    @property
    def answered_below(self) -> int:
        """Every claim below this number has been answered, or its answer got lost."""
        return min(self._unanswered, default=self._next)
