"""The harness can fail: without the fence it reports a violation. Also tests what excuses a second email."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.effect_worker import WITHOUT_FENCE
from tests.chaos.proof_people import unrecorded

ROOT = Path(__file__).parents[2]
BEYOND = "transactional worker beyond its lease"


def chaos(faults: int, seed: int, only: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.chaos", "--faults", str(faults), "--seed", str(seed), "--only", only]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.mark.e2e
def test_with_the_fence_taken_out_the_harness_reports_that_one_was_passed() -> None:
    ended = chaos(6, 7, BEYOND, **{WITHOUT_FENCE: "1"})

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "✗ no fence was passed" in ended.stdout
    assert "which was stale: it had been handed out again" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("BROKEN: ")


@pytest.mark.e2e
def test_with_the_fence_in_place_the_same_faults_break_nothing() -> None:
    ended = chaos(6, 7, BEYOND)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("HELD: 6 faults, seed 7")


@pytest.mark.parametrize(
    ("errors", "sent", "excuses"),
    [
        ([], [10, 20], []),
        ([("worker_lost", 15)], [10, 20], ["worker_lost"]),
        # It was stopped, declared dead, and goes on where it was.
        ([("worker_lost", 15)], [20, 25], ["worker_lost"]),
        ([("AioRpcError", 15)], [10, 20], ["AioRpcError"]),
        # The failed attempts had sent nothing: before the first email, and between the two.
        ([("AioRpcError", 5)], [10, 20], []),
        ([("AioRpcError", 5), ("AioRpcError", 15)], [1, 20], ["AioRpcError"]),
    ],
)
def test_a_mail_may_come_again_only_for_an_attempt_that_can_have_sent_it_without_its_record(
    errors: list[tuple[str, int]], sent: list[int], excuses: list[str]
) -> None:
    told = [{"type": kind, "at": at(second).isoformat()} for kind, second in errors]

    assert list(unrecorded(told, [at(second) for second in sent])) == excuses


def at(second: int) -> datetime:
    return datetime(2026, 11, 24, 12, 0, second, tzinfo=UTC)
