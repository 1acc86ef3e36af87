"""The numbers in README.md are those of the commands that it names, and its quickstart is the one that a test runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from headrace.queue.inspection.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_ratios_are_those_of_the_benchmark() -> None:
    figures = json.loads((ROOT / "bench/results/latest.json").read_text(encoding="utf-8"))["figures"]
    [drain] = [figure for figure in figures if figure["name"] == "drain"]
    said = re.search(
        r"drain ([\d.]+) . as many jobs per second as graphile-worker and ([\d.]+) . as many as pgq", README
    )
    assert said
    for ratio, peer in zip(said.groups(), ("graphile-worker", "pgqueuer"), strict=True):
        assert float(ratio) == round(drain["ours"] / drain["peers"][peer], 1)


def test_the_number_of_reasons_is_that_of_the_engine() -> None:
    assert f"one of {len(get_args(Reason))} reasons" in README


def test_the_number_of_faults_is_that_of_ci() -> None:
    said = re.search(r"CI does (\d+) faults", README)
    assert said
    assert f"make chaos FAULTS={said[1]} " in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_quickstart_is_the_one_of_the_engine() -> None:
    def program(page: Path, opening: str) -> str:
        found = re.search(rf"^```{opening}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        assert found
        return found[1]

    tested = program(ROOT / "libs/queue/README.md", r"python quickstart\.py")
    assert program(ROOT / "README.md", "python") == tested
