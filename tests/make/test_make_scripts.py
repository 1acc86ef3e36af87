"""The scripts that make's targets share: the cache of tools, and the steps of a long run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

MAKE = Path(__file__).resolve().parents[2] / "make"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """The cache of tools, which is not there yet."""
    return tmp_path / "cache/headrace"


def cached(tools: Path, command: str) -> subprocess.Popen[str]:
    """Has the folder tool-1 filled by a shell command, which finds the new folder in $0."""
    return subprocess.Popen(
        [MAKE / "cached", "tool-1", "bash", "-c", command],
        env={**os.environ, "HEADRACE_TOOLS": str(tools)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_tool_is_got_once_however_many_clones_want_it_at_once(tools: Path) -> None:
    clones = [cached(tools, 'echo got; sleep 0.2; touch "$0/program"') for _ in range(4)]
    assert sorted(clone.communicate()[0] for clone in clones) == ["", "", "", "got\n"]
    assert [clone.returncode for clone in clones] == [0, 0, 0, 0]
    assert (tools / "tool-1/program").exists()


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(tools: Path) -> None:
    failing = cached(tools, 'touch "$0/half"; exit 3')
    failing.communicate()
    assert failing.returncode != 0
    assert [path.name for path in tools.iterdir() if path.is_dir()] == []

    again = cached(tools, 'touch "$0/program"')
    again.communicate()
    assert again.returncode == 0
    assert [path.name for path in (tools / "tool-1").iterdir()] == ["program"]


def test_what_a_killed_build_left_is_not_taken_for_the_tool(tools: Path) -> None:
    killed = cached(tools, 'touch "$0/half"; echo begun; sleep 0.5')
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    killed.communicate()

    assert not (tools / "tool-1").exists()
    cached(tools, 'touch "$0/program"').communicate()
    assert [path.name for path in (tools / "tool-1").iterdir()] == ["program"]


def steps(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script that sources the steps."""
    command = ["bash", "-euo", "pipefail", "-c", f". {MAKE}/steps.sh\n{script}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_table_has_every_step_and_everything_that_was_skipped() -> None:
    done = steps("""
        step_beside slow bash -c 'sleep 0.2; echo "SKIPPED test::one: no such program"'
        step quick echo hello
        skip cluster "there is none"
        summary
    """)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("== Times\n")[2]
    assert [line.split(" s  ")[1] for line in table.splitlines()[:3]] == ["quick", "slow (beside)", "all"]
    assert "SKIPPED cluster: there is none\nSKIPPED test::one: no such program\n" in table


@pytest.mark.parametrize("how", ["step", "step_beside"])
def test_a_step_that_fails_fails_the_run_and_the_rest_is_run_all_the_same(how: str) -> None:
    done = steps(f"{how} broken bash -c 'echo its words; exit 7' || true\nstep next echo 'the next one'\nsummary")
    assert done.returncode == 1
    assert "its words\n" in done.stdout
    assert "the next one\n" in done.stdout
    assert "Failed: broken" in done.stdout


def test_what_may_not_be_skipped_fails_the_run() -> None:
    script = "skip cluster 'there is none'\nskip browser 'not installed'\nsummary '^SKIPPED cluster:'"
    done = steps(script)
    assert done.returncode == 1
    assert done.stdout.endswith("Should not have been skipped:\nSKIPPED browser: not installed\n")
