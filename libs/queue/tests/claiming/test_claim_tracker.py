"""Which claims a worker's heartbeat publishes as open, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from headrace.queue import JobState
from headrace.queue.claiming.tracker import ClaimTracker


@dataclass
class Job:
    """A running job, as far as the tracker reads it."""

    _claim_no: int


def settled(*numbers: int) -> list[Any]:
    return [(Job(number), JobState.COMPLETED) for number in numbers]


def test_a_claim_is_open_until_all_of_its_jobs_are_settled() -> None:
    tracker = ClaimTracker()
    first, second = tracker.begin(), tracker.begin()
    assert (tracker.lowest_open, tracker.answered_below) == (first, first)
    tracker.answered(first, 2)
    tracker.answered(second, 1)
    assert (tracker.lowest_open, tracker.answered_below) == (first, tracker.next)
    tracker.jobs_settled(settled(first, second))
    assert tracker.lowest_open == first
    tracker.jobs_settled(settled(first))
    assert tracker.lowest_open == tracker.next


def test_a_claim_without_jobs_is_not_open() -> None:
    tracker = ClaimTracker()
    tracker.answered(tracker.begin(), 0)
    assert tracker.lowest_open == tracker.next


def test_a_claim_whose_result_was_lost_stays_open_until_the_reconciler_settles_it() -> None:
    tracker = ClaimTracker()
    lost = tracker.begin()
    before = time.monotonic()
    tracker.unclear(lost)
    assert tracker.answered_below == tracker.next
    assert tracker.unclear_since(before) == []
    assert tracker.unclear_since(time.monotonic() + 1) == [lost]
    assert tracker.lowest_open == lost
    tracker.settle_unclear(lost)
    assert tracker.lowest_open == tracker.next
    assert tracker.unclear_since(time.monotonic() + 1) == []


def test_a_worker_that_registers_again_has_no_open_claims_and_reuses_no_number() -> None:
    tracker = ClaimTracker()
    number = tracker.begin()
    tracker.answered(number, 3)
    tracker.unclear(tracker.begin())
    tracker.forget()
    tracker.jobs_settled(settled(number))
    assert tracker.lowest_open == tracker.next == number + 2
    assert tracker.unclear_since(time.monotonic() + 1) == []
