"""Measures this project's engine beside its peers, and its jobs service beside both, on one server, round after round.

What else the machine does at the time hits all of them alike, so read the ratios; a value by itself is worth as much
as the machine was idle. `python -m bench [--quick] [--only engine|rpc]`; the verdict is the exit code.
With `--against <revision>` it compares this checkout with another revision of the repository instead.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.against import run as against
from bench.cases import CASES, FIGURES, FULL, QUICK, Size, Values
from bench.contenders import CONTENDERS, OURS, PEERS, ROOT
from bench.environment import environment, output
from bench.rpc import cases as rpc
from bench.server import Server

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Runs everything, prints the table, writes results/latest.json, and returns 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, at most five minutes")
    parser.add_argument("--only", choices=["engine", "rpc"], help="the engine beside its peers, or the jobs service")
    parser.add_argument("--against", metavar="REVISION", help="compare this checkout with a revision of the repository")
    chosen = parser.parse_args()
    quick: bool = chosen.quick
    if chosen.against is not None:
        return against.main(chosen.against, quick=quick, only=chosen.only)
    begun = datetime.datetime.now(datetime.UTC)
    lines: list[dict[str, Any]] = []
    runs: dict[str, Any] = {}
    with Server() as server:
        if chosen.only != "rpc":
            runs["engine"] = _run(server, QUICK if quick else FULL)
            lines += report.lines(FIGURES, runs["engine"])
        if chosen.only != "engine":
            runs["rpc"] = _run_rpc(server, rpc.QUICK if quick else rpc.FULL)
            lines += report.lines(rpc.FIGURES, runs["rpc"])
        measured_on = environment(server, quick=quick, begun=begun)
        if chosen.only != "rpc":
            measured_on["versions"] |= _peers()
    sys.stdout.write(report.table(lines) + "\n")
    RESULTS.mkdir(exist_ok=True)
    result = RESULTS / ("latest.json" if chosen.only is None else f"{chosen.only}.json")
    result.write_text(json.dumps({"figures": lines, "environment": measured_on, "runs": runs}, indent=1) + "\n")
    sys.stdout.write(f"written to {result.relative_to(ROOT)}\n")
    return 0 if all(line["ok"] for line in lines) else 1


def _run(server: Server, size: Size) -> dict[str, list[Values]]:
    runs: dict[str, list[Values]] = {contender.name: [] for contender in CONTENDERS}
    begun = time.monotonic()
    for turn in range(size.rounds):
        # Who begins changes from round to round.
        order = [*CONTENDERS[turn % len(CONTENDERS) :], *CONTENDERS[: turn % len(CONTENDERS)]]
        for contender in order:
            runs[contender.name].append({})
        for case in CASES:
            for contender in order:
                values = case(server, contender, size)
                runs[contender.name][turn].update(values)
                if not values:
                    continue
                words = ", ".join(f"{name} {value:,.1f}" for name, value in values.items())
                sys.stderr.write(f"round {turn + 1} of {size.rounds}: {contender.name}: {words}\n")
        if (time.monotonic() - begun) * (turn + 2) / (turn + 1) > size.seconds:
            break
    return runs


def _run_rpc(server: Server, size: rpc.Size) -> dict[str, list[Values]]:
    rounds: list[Values] = []
    for turn in range(size.rounds):
        rounds.append(rpc.measure(server, size))
        words = ", ".join(f"{name} {value:,.1f}" for name, value in rounds[-1].items())
        sys.stderr.write(f"round {turn + 1} of {size.rounds}: jobs service: {words}\n")
    return {OURS: rounds}


def _peers() -> dict[str, str]:
    return {
        "pgqueuer": output(
            str(PEERS / "pgqueuer/bin/python"), "-c", "import importlib.metadata as m; print(m.version('pgqueuer'))"
        ),
        "node": output("node", "--version"),
        "graphile-worker": json.loads(
            (PEERS / "graphile-worker/node_modules/graphile-worker/package.json").read_text()
        )["version"],
    }


if __name__ == "__main__":
    sys.exit(main())
