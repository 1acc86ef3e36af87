"""The whole system for a test module, as separate processes, started once; and the clients that talk to it.

A module that needs other settings has a constant ``OPTIONS`` of type `local_stack.system.Options`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.clients import Clients
from local_stack.system import Options, System

MARK = "HEADRACE_TEST_RUN"


@pytest.fixture(scope="module")
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A running system of this module's own."""
    options = getattr(request.module, "OPTIONS", Options(jaeger=False))
    with System(options) as running:
        yield running
        assert running.deaths == []


@pytest.fixture
def clients(system: System) -> Iterator[Clients]:
    """Clients of the running system."""
    connected = Clients(system)
    yield connected
    connected.close()


@pytest.fixture
def marked_processes(request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Finds the living processes, of whatever parent, whose environment has ``MARK`` set to this test's id."""
    if not sys.platform.startswith("linux"):
        pytest.skip("finding processes by their environment needs /proc")
    mark = f"{MARK}={request.node.nodeid}".encode()

    def find() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:  # it has just ended, or is somebody else's
                continue
        return found

    return find


@pytest.fixture
def marked_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment with which `marked_processes` finds a process and all its descendants."""
    return {**os.environ, MARK: request.node.nodeid}
