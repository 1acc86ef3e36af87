"""What the client's tests share: the real jobs server as a process, a scripted one, both clients behind one face."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from authority import Authority
from grpc_status import rpc_status

from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.tokens import token_hash
from headrace.client import AsyncJobsClient, JobsClient
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.queue.db.migrate import up

TOKEN = "client-token"


@dataclass(frozen=True)
class Served:
    """A jobs server."""

    target: str
    database: str


@pytest.fixture(scope="module")
def served(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The program `jobs-server`, on a separate database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name}")
    callers = tmp_path_factory.mktemp("callers") / "callers.toml"
    callers.write_text(
        f'[[callers]]\nname = "tests"\ntoken_sha256 = ["{token_hash(TOKEN)}"]\nkinds = ["*"]\nmethods = ["*"]\n'
    )
    up(postgres.dsn(name))
    with _Program(postgres.dsn(name), callers) as target:
        yield Served(target, postgres.dsn(name))
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


class _Program:
    def __init__(self, database: str, callers: Path) -> None:
        self._environment = {
            **os.environ,
            "JOBS_DATABASE_URL": database,
            "JOBS_HASH_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
            "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
            "JOBS_CALLERS_FILE": str(callers),
            "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
        }

    def __enter__(self) -> str:
        program = shutil.which("jobs-server")
        assert program, "the environment's programs are not on the PATH"
        self._process = subprocess.Popen([program], env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            if said["event"] == "listening":
                return str(said["address"])
        raise AssertionError(f"jobs-server ended with {self._process.wait()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


class Both:
    """A client of either kind; every method is awaited."""

    def __init__(self, client: JobsClient | AsyncJobsClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*args: Any, **options: Any) -> Any:
            if isinstance(self._client, JobsClient):
                return await asyncio.to_thread(method, *args, **options)
            return await method(*args, **options)

        return call

    async def list(self, *args: Any, **options: Any) -> Any:
        listing = self._client.list(*args, **options)
        if isinstance(listing, Iterator):
            return await asyncio.to_thread(lambda: [*listing])
        return [job async for job in listing]


Connect = Callable[..., AbstractAsyncContextManager[Both]]


@pytest.fixture(params=["blocking", "asynchronous"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client, of each kind in turn."""

    @asynccontextmanager
    async def opened(target: str, **options: Any) -> AsyncIterator[Both]:
        options.setdefault("token", TOKEN)
        if request.param == "blocking":
            with JobsClient(target, **options) as client:
                yield Both(client)
        else:
            async with AsyncJobsClient(target, **options) as other:
                yield Both(other)

    return opened


@pytest.fixture
async def jobs(connect: Connect, served: Served) -> AsyncIterator[Both]:
    """A client of the real server."""
    async with connect(served.target) as client:
        yield client


@dataclass
class Script(jobs_service_pb2_grpc.JobsServiceServicer):
    """A server that returns the script's results in turn, and repeats the last one."""

    answers: list[Any] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    target: str = ""

    def _next(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        self.headers.append({key: str(value) for key, value in context.invocation_metadata()})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RpcError):
            context.abort_with_status(rpc_status.to_status(answer.status()))
        return answer

    def Enqueue(self, request: pb.EnqueueRequest, context: grpc.ServicerContext) -> pb.EnqueueResponse:  # noqa: N802
        return self._next(request, context)  # type: ignore[no-any-return]

    def EnqueueBatch(  # noqa: N802
        self, request: pb.EnqueueBatchRequest, context: grpc.ServicerContext
    ) -> pb.EnqueueBatchResponse:
        return self._next(request, context)  # type: ignore[no-any-return]

    def DeleteJob(self, request: pb.DeleteJobRequest, context: grpc.ServicerContext) -> pb.DeleteJobResponse:  # noqa: N802
        return self._next(request, context)  # type: ignore[no-any-return]


@contextmanager
def scripted(credentials: grpc.ServerCredentials | None = None) -> Iterator[Script]:
    """Serves a script; over TLS if there are credentials."""
    made: Any = Script  # its other methods return UNIMPLEMENTED
    script: Script = made()
    server = grpc.server(ThreadPoolExecutor(4))
    jobs_service_pb2_grpc.add_JobsServiceServicer_to_server(script, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    script.target = f"127.0.0.1:{port}"
    server.start()
    yield script
    server.stop(None).wait()


@pytest.fixture
def script() -> Iterator[Script]:
    """A scripted server."""
    with scripted() as script:
        yield script


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Script, Authority]]:
    """A scripted server that accepts clients with a certificate of its authority."""
    authority = Authority(tmp_path, "mill")
    certificate, key = authority.issue("server")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    with scripted(credentials) as script:
        yield script, authority
