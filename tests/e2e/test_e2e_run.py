"""``python -m local_stack`` as a person at a terminal uses it."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from local_stack.journey.waiting import eventually
from local_stack.output.report import check

pytestmark = pytest.mark.e2e

ENDS_WITHIN = 120.0
COMMAND = [sys.executable, "-m", "local_stack"]


def test_one_run_holds_every_step_and_leaves_no_process(
    marked_environment: dict[str, str], marked_processes: Callable[[], list[str]]
) -> None:
    done = subprocess.run(
        [*COMMAND, "--once"], env=marked_environment, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().splitlines()[-1].startswith("Every step held")
    assert marked_processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_run_no_process_is_left(
    number: signal.Signals, marked_environment: dict[str, str], marked_processes: Callable[[], list[str]]
) -> None:
    run = subprocess.Popen(COMMAND, env=marked_environment, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert any("jobs-migrations" in line for line in run.stdout), "the run ended before its databases were there"
    assert len(marked_processes()) > 3

    run.send_signal(number)

    run.stdout.close()
    run.wait(30)
    eventually(lambda: check(not marked_processes(), f"still there: {marked_processes()}"), within=30)


def test_a_wrong_port_is_refused_with_the_names_there_are() -> None:
    done = subprocess.run(
        [*COMMAND, "--ports", "mails=80"], capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )

    assert done.returncode == 2
    assert "mail-http" in done.stderr
