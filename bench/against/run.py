"""Compares this checkout, uncommitted changes included, with another revision: both do the same on one Postgres."""

from __future__ import annotations

import datetime
import json
import sys

from bench.against import report
from bench.against.cases import CASES, FULL, QUICK
from bench.against.checkout import LOCK, CheckoutError, checkout, commit_of, pins
from bench.against.rounds import HERE, THERE, measure
from bench.against.side import Side
from bench.contenders import ROOT, DriverError
from bench.environment import environment, output
from bench.server import Server

RESULT = ROOT / "bench" / "results" / "against.json"


def main(revision: str, *, quick: bool, only: str | None) -> int:
    """Measures, prints the table and the verdict, and writes bench/results/against.json.

    Returns:
        0 if no row is worse, 1 if one is, 3 if one looks worse or has too few pairs to be sure.
    """
    begun = datetime.datetime.now(datetime.UTC)
    try:
        commit = commit_of(revision)
        there = checkout(commit)
        sides = (Side.of(HERE, ROOT), Side.of(THERE, there))
    except (CheckoutError, DriverError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    cases = [case for case in CASES if only in {None, case.part}]
    with Server(autovacuum=False) as server:  # which would work on one side's tables while the other is measured
        pairs = measure(server, sides, cases, QUICK if quick else FULL)
        measured_on = environment(server, quick=quick, begun=begun)
    lines = report.lines(cases, pairs)
    concluded, exit_code = report.conclusion(lines, revision)
    sys.stdout.write(f"{report.table(lines, there=revision)}\n{concluded}\n")
    if changed := pins((there / LOCK).read_text()) - pins((ROOT / LOCK).read_text()):
        sys.stdout.write(f"Each ran with its own dependencies; {revision} has {', '.join(sorted(changed))}.\n")
    result = {
        "conclusion": concluded,
        "against": {"revision": revision, "commit": commit},
        "uncommitted_changes": bool(output("git", "status", "--porcelain")),
        "rows": [line.as_dict() for line in lines],
        "environment": measured_on,
        "pairs": pairs,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(f"written to {RESULT.relative_to(ROOT)}\n")
    return exit_code
