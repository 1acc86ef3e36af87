"""The wait between attempts grows, stays within its bounds, and is spread by chance."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.queue import RetryPolicy

YEAR = timedelta(days=365)


@st.composite
def policies(draw: st.DrawFn, *, jitter: float | None = None) -> RetryPolicy:
    base = draw(st.timedeltas(min_value=timedelta(milliseconds=1), max_value=YEAR))
    return RetryPolicy(
        base=base,
        factor=draw(st.floats(min_value=1, max_value=1e9)),
        cap=draw(st.timedeltas(min_value=base, max_value=YEAR)),
        jitter=draw(st.floats(min_value=0, max_value=1)) if jitter is None else jitter,
        rng=random.Random(draw(st.integers())),
    )


attempts = st.integers(min_value=1, max_value=2**15)


@given(policies(jitter=0), attempts)
def test_without_jitter_the_wait_grows_by_the_factor_up_to_the_cap(policy: RetryPolicy, attempt: int) -> None:
    now, later = policy.delay(attempt), policy.delay(attempt + 1)
    assert policy.delay(1) == policy.base
    assert policy.base <= now <= later <= policy.cap
    assert later == policy.cap or later / now == pytest.approx(policy.factor, rel=0.01)


@given(policies(), attempts)
def test_jitter_stays_within_its_share_of_the_wait(policy: RetryPolicy, attempt: int) -> None:
    plain = RetryPolicy(policy.base, policy.factor, policy.cap, jitter=0).delay(attempt)
    rounding = timedelta(microseconds=1)
    assert plain * (1 - policy.jitter) - rounding <= policy.delay(attempt) <= plain * (1 + policy.jitter) + rounding


def test_what_failed_together_does_not_come_back_together() -> None:
    policy = RetryPolicy(rng=random.Random(7))
    assert len({policy.delay(1) for _ in range(100)}) > 90


def test_five_retries_outlast_a_greylisting_mail_server() -> None:
    total = sum((RetryPolicy(jitter=0).delay(attempt) for attempt in range(1, 6)), timedelta(0))
    assert total > timedelta(minutes=15)


@pytest.mark.parametrize(
    "values",
    [
        {"base": timedelta(0)},
        {"base": timedelta(hours=2)},
        {"cap": timedelta(days=366)},
        {"factor": 0.99},
        {"factor": float("nan")},
        {"jitter": -0.1},
        {"jitter": 1.1},
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"retry policy: (base|factor) must be"):
        RetryPolicy(**values)
