"""api-server as a process: it says where it listens, and ends in order when told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from api_service.settings import ApiSettings

PROGRAM = Path(sys.executable).with_name("api-server")
DEADLINE = 30.0


class Program:
    """The process, and the lines that it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def read_until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Reads on until so many lines of an event were there, and returns them."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            while len(found := [line for line in self.lines if line["event"] == event]) < count:
                line = await self.process.stdout.readline()
                assert line, f"it ended, having written {self.lines}"
                self.lines.append(json.loads(line))
        return found


@pytest.fixture
async def program(api_database: str, api_environment: Callable[..., ApiSettings]) -> AsyncIterator[Program]:
    """The service at start, without a jobs service."""
    api_environment(API_DATABASE_URL=api_database)
    process = await asyncio.create_subprocess_exec(PROGRAM, stdout=asyncio.subprocess.PIPE, env=os.environ)
    program = Program(process)
    yield program
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.communicate()


async def test_it_says_where_it_listens_and_ends_in_order_on_sigterm(program: Program) -> None:
    listeners = await program.read_until("listening", 3)
    assert {line["name"] for line in listeners} == {"grpc", "worker-grpc", "http"}
    [http] = [line["address"] for line in listeners if line["name"] == "http"]
    await program.read_until("readiness")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://{http}/readyz")).status_code == 200

    program.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE):
        assert await program.process.wait() == 0


async def test_a_bad_setting_ends_it_before_it_listens(
    api_environment: Callable[..., ApiSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    api_environment(API_DATABASE_URL="postgresql://db/api")
    monkeypatch.setenv("API_ACCESS_TOKEN_LIFETIME", "1h")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ
    )
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode == 2
    assert out == b""
    assert err.startswith(b"API_ACCESS_TOKEN_LIFETIME: ")
