"""A part's life as a process, and the guardian that ends what its orchestrator left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import wait_until

from local_stack.stack.guardian import Guardian
from local_stack.stack.process import Process, ProcessError, ProcessSpec

WITHIN = 20.0


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    running = Guardian()
    yield running
    running.dismiss()


class Deaths:
    """The deaths that were reported."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reported = threading.Event()

    def __call__(self, _part: Process, text: str) -> None:
        self.texts.append(text)
        self.reported.set()


def part(folder: Path, guardian: Guardian, code: str, deaths: Deaths | None = None) -> Process:
    """A part that runs some Python, and is ready when it has written the file "ready"."""
    spec = ProcessSpec(
        "sample", [sys.executable, "-c", textwrap.dedent(code)], dict(os.environ), (folder / "ready").exists
    )
    return Process(spec, folder / "sample.log", guardian, deaths or Deaths())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


READY = "import pathlib, time; pathlib.Path('ready').touch(); "


def test_a_part_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path, guardian: Guardian) -> None:
    deaths = Deaths()
    code = (
        READY
        + """
while not pathlib.Path('die').exists(): time.sleep(0.01)
print('the last word', flush=True)
exit(3)
"""
    )
    dying = part(tmp_path, guardian, code, deaths)
    dying.start()
    dying.wait_ready(time.monotonic() + WITHIN)

    (tmp_path / "die").touch()

    assert deaths.reported.wait(WITHIN)
    [text] = deaths.texts
    assert "sample died (exit code 3)" in text
    assert "the last word" in text


def test_a_part_that_was_ended_is_not_reported(tmp_path: Path, guardian: Guardian) -> None:
    deaths = Deaths()
    living = part(tmp_path, guardian, READY + "time.sleep(600)", deaths)
    living.start()
    living.wait_ready(time.monotonic() + WITHIN)

    living.stop(grace=WITHIN)

    assert not living.running
    assert deaths.texts == []


def test_a_part_that_ends_before_it_is_ready_fails_the_start_with_its_words(tmp_path: Path, guardian: Guardian) -> None:
    broken = part(tmp_path, guardian, "exit('JOBS_TIMEOUT: expected a duration')")
    broken.start()

    with pytest.raises(ProcessError, match=r"(?s)sample ended before it was ready \(exit code 1\).*JOBS_TIMEOUT"):
        broken.wait_ready(time.monotonic() + WITHIN)


def test_a_part_that_ignores_the_signal_to_end_is_killed(tmp_path: Path, guardian: Guardian) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(600)"
    stubborn = part(tmp_path, guardian, code)
    stubborn.start()
    stubborn.wait_ready(time.monotonic() + WITHIN)

    stubborn.stop(grace=0.1)

    assert not stubborn.running


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_orchestrator_leaves_neither_process_nor_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    code = f"""
        import pathlib, subprocess, time
        from local_stack.stack.guardian import Guardian
        guardian = Guardian()
        guardian.remove(pathlib.Path({str(folder)!r}))
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        guardian.watch(child.pid)
        print(child.pid, flush=True)
        time.sleep(600)
    """
    orchestrator = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert orchestrator.stdout is not None
    child = int(orchestrator.stdout.readline())
    assert is_alive(child)

    orchestrator.send_signal(signal.SIGKILL)
    orchestrator.stdout.close()
    orchestrator.wait(WITHIN)

    wait_until(lambda: not is_alive(child) and not folder.exists())
