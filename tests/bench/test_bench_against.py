"""Whether the speed held: the ratio of pairs and its interval, the verdict on a row and the one on all rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from bench.against.cases import COST, SPEED, Case, Row
from bench.against.checkout import CheckoutError, commit_of, pins
from bench.against.report import Line, conclusion, lines, table
from bench.against.rounds import HERE, THERE, settled
from bench.against.verdict import Bar, Ratio, Verdict, looks_worse, ratio, verdict

COSTS = Row("drain: WAL", "B/job", COST)
SHOWN = Row("enqueue to start, median", "ms", None)


def pairs_of(here: Sequence[float], there: Sequence[float], row: Row = COSTS) -> list[dict[str, dict[str, float]]]:
    return [{HERE: {row.name: ours}, THERE: {row.name: theirs}} for ours, theirs in zip(here, there, strict=True)]


def case_of(row: Row) -> Case:
    return Case("case", "engine", (row,), lambda *_: iter(()))  # type: ignore[arg-type]


def line(name: str, middle: float, low: float, high: float, pairs: int = 10) -> Line:
    row = Row(name, "µs/job", COST)
    compared = Ratio(middle, low, high, pairs)
    return Line(row, 1.0, 1.0, compared, verdict(compared, COST))


def test_the_ratio_is_taken_pair_by_pair_so_load_that_hits_both_sides_of_a_pair_cancels() -> None:
    load = [1.0, 5.0, 2.0, 1.0, 9.0, 3.0, 1.0, 4.0]
    compared = ratio([1.1 * each for each in load], load)
    assert (compared.middle, compared.low, compared.high) == pytest.approx((1.1, 1.1, 1.1))
    assert compared.pairs == len(load)


def test_a_few_odd_pairs_hardly_move_the_ratio() -> None:
    assert ratio([1.0] * 10 + [50.0, 80.0], [1.0] * 12).middle == pytest.approx(1.0)


def test_with_eight_pairs_the_interval_is_the_whole_spread_and_with_nine_the_outermost_averages_are_left_out() -> None:
    ratios = [0.90, 0.95, 0.97, 0.99, 1.01, 1.02, 1.04, 1.08]
    assert (ratio(ratios, [1.0] * 8).low, ratio(ratios, [1.0] * 8).high) == pytest.approx((0.90, 1.08))
    nine = ratio([*ratios, 1.0], [1.0] * 9)
    assert (nine.low, nine.high) == pytest.approx(((0.90 * 0.95) ** 0.5, (1.08 * 1.04) ** 0.5))


def test_the_interval_holds_the_true_ratio_in_ninety_nine_of_a_hundred_runs() -> None:
    chance = random.Random(11)
    missed = 0
    for _ in range(1000):
        there = [chance.lognormvariate(0, 0.2) for _ in range(12)]
        compared = ratio([chance.lognormvariate(0, 0.2) for _ in range(12)], there)
        missed += not compared.low <= 1 <= compared.high
    assert missed <= 20


def test_a_measurement_without_a_partner_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no pairs"):
        ratio([], [])


@pytest.mark.parametrize(
    ("bar", "low", "high", "expected"),
    [
        (COST, 0.98, 1.02, Verdict.HELD),
        (COST, 1.01, 1.06, Verdict.WITHIN_NOISE),
        (COST, 1.04, 1.60, Verdict.WORSE),
        (SPEED, 0.96, 1.30, Verdict.HELD),
        (SPEED, 0.90, 1.10, Verdict.WITHIN_NOISE),
        (SPEED, 0.60, 0.94, Verdict.WORSE),
    ],
)
def test_a_row_is_judged_by_its_whole_interval(bar: Bar, low: float, high: float, expected: Verdict) -> None:
    assert verdict(Ratio((low + high) / 2, low, high, 10), bar) is expected


def test_fewer_than_six_pairs_are_no_verdict() -> None:
    assert verdict(Ratio(2.0, 1.9, 2.1, 5), COST) is Verdict.WITHIN_NOISE
    assert verdict(Ratio(2.0, 1.9, 2.1, 6), COST) is Verdict.WORSE


def test_a_row_looks_worse_when_it_misses_its_bar_and_is_not_equal_either() -> None:
    assert looks_worse(Ratio(1.05, 1.01, 1.09, 10), COST)
    assert not looks_worse(Ratio(1.05, 0.99, 1.11, 10), COST)
    assert not looks_worse(Ratio(1.02, 1.01, 1.04, 10), COST)


def test_a_case_is_settled_when_all_its_rows_are_held() -> None:
    case = case_of(COSTS)
    assert not settled(case, pairs_of([1.0] * 7, [1.0] * 7))
    assert settled(case, pairs_of([1.0] * 8, [1.0] * 8))
    assert not settled(case, pairs_of([2.0] * 8, [1.0] * 8)), "a worse row is measured on, in case it was noise"


def test_a_case_that_is_not_judged_is_settled_after_a_few_pairs() -> None:
    assert settled(case_of(SHOWN), pairs_of([1.0, 9.0, 1.0, 9.0], [1.0] * 4, SHOWN))


def test_the_conclusion_names_the_worse_rows_and_is_the_exit_code() -> None:
    held, noisy = line("held", 1.0, 0.99, 1.01), line("noisy", 1.0, 0.9, 1.1)
    worse, unsure = line("worse", 1.2, 1.1, 1.3), line("unsure", 1.05, 1.01, 1.09)
    assert conclusion([held, noisy], "main") == (
        "The speed of main held: 1 of 2 rows are held, and 1 are within noise.",
        0,
    )
    assert conclusion([held, worse, unsure], "main") == ("The speed of main did not hold: worse.", 1)
    said, code = conclusion([held, noisy, unsure], "main")
    assert (code, said.split(".")[0]) == (3, "Looks worse, but may be noise: unsure")
    said, code = conclusion([held, line("short", 1.0, 1.0, 1.0, pairs=5)], "main")
    assert (code, said.split(".")[0]) == (3, "Too few pairs to tell: 5 in the time there was")


def test_the_table_has_the_medians_the_ratio_the_interval_and_the_verdict_of_each_row() -> None:
    of_lines = [
        *lines([case_of(COSTS)], {"case": pairs_of([735.0] * 8, [700.0] * 8)}),
        *lines([case_of(SHOWN)], {"case": pairs_of([2.0] * 4, [1.0] * 4, SHOWN)}),
    ]
    head, first, second = table(of_lines, there="main").splitlines()
    assert head.split() == ["here", "main", "ratio", "99", "%", "interval", "pairs", "bar"]
    assert " ".join(first.split()) == "drain: WAL B/job 735 700 1.050 1.050 to 1.050 8 ≤ 1.03 WORSE"
    assert second.endswith("not judged")


def test_what_is_not_a_revision_is_said_so() -> None:
    with pytest.raises(CheckoutError, match="AGAINST=no-such-revision is not a revision"):
        commit_of("no-such-revision")


def test_the_pins_of_a_lock_are_compared_without_hashes_and_comments() -> None:
    lock = """# made by uv
anyio==4.16.0 \\
    --hash=sha256:59bb==
    # via httpx
django==5.2 ; python_full_version < '3.12' \\
    --hash=sha256:1a2b
"""
    assert pins(lock) == {"anyio==4.16.0", "django==5.2 ; python_full_version < '3.12'"}
