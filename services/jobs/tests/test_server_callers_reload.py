"""A changed callers file is taken into use by a running server; one that is wrong changes nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from eventually import Eventually
from grpc import StatusCode
from grpc.aio import AioRpcError
from jobs_server_fixtures import ClientOf
from structlog.testing import capture_logs

from headrace.chassis.rpc.tokens import token_hash
from headrace.chassis.tls import watched_files
from headrace.chassis.tls.watched_files import file_signature
from headrace.jobs.v1.jobs_service_pb2 import ListKindsRequest
from headrace.queue.db.migrate import up
from jobs_service.callers.file import read_callers
from jobs_service.kinds import load_kinds
from jobs_service.server.program import JobsServer
from jobs_service.server.settings import JobsServerSettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callers.toml"


def write(file: Path, *tokens: str, methods: str = "*") -> None:
    """Puts a file in place, at once."""
    hashes = ", ".join(f'"{token_hash(token)}"' for token in tokens)
    replace(file, f'[[callers]]\nname = "api"\ntoken_sha256 = [{hashes}]\nkinds = ["*"]\nmethods = ["{methods}"]\n')


def replace(file: Path, text: str) -> None:
    copy = file.with_suffix(".new")
    copy.write_text(text)
    copy.replace(file)


@pytest.fixture
async def server(file: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobsServer]:
    """A server whose callers have the token "old"."""
    async with serving(file, database, monkeypatch, "old") as running:
        yield running


@asynccontextmanager
async def serving(
    file: Path, database: str, monkeypatch: pytest.MonkeyPatch, *tokens: str
) -> AsyncIterator[JobsServer]:
    monkeypatch.setattr(watched_files.watch_files, "__kwdefaults__", {"interval": 0.02})
    up(database)
    write(file, *tokens)
    settings = JobsServerSettings(
        jobs_database_url=database,
        jobs_hash_keys=(b"0123456789abcdef",),
        jobs_kinds=("saas.jobs.v1.kinds_pb2",),
        jobs_callers_file=file,
        jobs_grpc_address="127.0.0.1:0",
    )
    seen = file_signature(file)
    async with JobsServer(
        settings, read_callers(file), load_kinds(settings.jobs_kinds, settings), callers_seen=seen
    ) as running:
        yield running


async def code(call: Awaitable[object]) -> StatusCode:
    try:
        await call
    except AioRpcError as error:
        return error.code()
    return StatusCode.OK


async def until(expected: StatusCode, call: Callable[[], Any]) -> None:
    async def returned() -> bool:
        return await code(call()) is expected

    await Eventually()(returned)


async def test_a_token_is_replaced_without_an_outage(server: JobsServer, file: Path, client_of: ClientOf) -> None:
    async with client_of(server, "old") as before, client_of(server, "new") as after:
        write(file, "old", "new")
        await until(StatusCode.OK, lambda: after.ListKinds(ListKindsRequest()))
        assert await code(before.ListKinds(ListKindsRequest())) is StatusCode.OK
        write(file, "new")
        await until(StatusCode.UNAUTHENTICATED, lambda: before.ListKinds(ListKindsRequest()))
        assert await code(after.ListKinds(ListKindsRequest())) is StatusCode.OK


async def test_rights_are_those_of_the_file_as_it_stands(server: JobsServer, file: Path, client_of: ClientOf) -> None:
    async with client_of(server, "old") as jobs:
        write(file, "old", methods="Enqueue")
        await until(StatusCode.PERMISSION_DENIED, lambda: jobs.ListKinds(ListKindsRequest()))
        write(file, "old", methods="ListKinds")
        await until(StatusCode.OK, lambda: jobs.ListKinds(ListKindsRequest()))


async def test_a_wrong_file_changes_nothing_and_is_said_in_the_log(
    server: JobsServer, file: Path, client_of: ClientOf, eventually: Eventually
) -> None:
    async with client_of(server, "old") as before, client_of(server, "new") as after:
        with capture_logs() as logs:
            for wrong in ("[[callers", '[[callers]]\nname = "API"\n', ""):
                logs.clear()
                replace(file, wrong)
                await eventually(lambda: any("the callers before stay" in entry["event"] for entry in logs))
                assert logs[-1]["log_level"] == "error"
                assert str(file) in logs[-1]["reasons"][0]
                assert await code(before.ListKinds(ListKindsRequest())) is StatusCode.OK
        write(file, "new")
        await until(StatusCode.OK, lambda: after.ListKinds(ListKindsRequest()))


async def test_a_mounted_secret_is_swapped_by_its_symbolic_link(
    tmp_path: Path, database: str, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "..1").mkdir()
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "callers.toml").symlink_to("..data/callers.toml")
    write(tmp_path / "..1/callers.toml", "old")
    monkeypatch.setattr(watched_files.watch_files, "__kwdefaults__", {"interval": 0.02})
    up(database)
    mounted = tmp_path / "callers.toml"
    settings = JobsServerSettings(
        jobs_database_url=database,
        jobs_hash_keys=(b"0123456789abcdef",),
        jobs_kinds=("saas.jobs.v1.kinds_pb2",),
        jobs_callers_file=mounted,
        jobs_grpc_address="127.0.0.1:0",
    )
    seen = file_signature(mounted)
    running = JobsServer(settings, read_callers(mounted), load_kinds(settings.jobs_kinds, settings), callers_seen=seen)
    async with running as server, client_of(server, "new") as jobs:
        assert await code(jobs.ListKinds(ListKindsRequest())) is StatusCode.UNAUTHENTICATED
        (tmp_path / "..2").mkdir()
        write(tmp_path / "..2/callers.toml", "new")
        (tmp_path / "..next").symlink_to("..2")
        (tmp_path / "..next").replace(tmp_path / "..data")
        await until(StatusCode.OK, lambda: jobs.ListKinds(ListKindsRequest()))
