"""The connection budget: what docs/operating.md says that each process holds at most, counted while it works."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from google.protobuf import any_pb2
from pgbouncer import POOL_SIZE, PgBouncer, program_file

from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest, GetQueueStatsRequest, ListJobsRequest
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from local_stack.journey.clients import bearer
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.process import ProcessSpec
from local_stack.stack.programs import WORKERS
from local_stack.stack.system import Options, System
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

pytestmark = pytest.mark.e2e

API_POOL, JOBS_POOL = 7, 6
OPTIONS = Options(
    jaeger=False,
    environment={"API_DATABASE_POOL_SIZE": str(API_POOL), "JOBS_POOL_SIZE": str(JOBS_POOL), "JOBS_WORKER_COUNT": "40"},
)
CALLS = 600
PAGE = Path(__file__).parents[2] / "docs/operating.md"


def documented(program: str) -> str:
    """What the page's table of connections says of a program."""
    row = re.search(
        rf"^\| `{program}`[^|]*\| (?:api|jobs) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert row is not None
    return row[1].strip()


def held(pid: int, port: int) -> int:
    """How many connections to a port a process of this machine holds."""
    listed = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    # local and remote address as hex, the state (01: established), and behind more numbers the socket's inode
    rows = [line.split() for line in listed]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}
    return sum(_target(descriptor) in sockets for descriptor in Path(f"/proc/{pid}/fd").iterdir())


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # it has just been closed
        return ""


@contextmanager
def watched(system: System, port: int, *parts: str) -> Iterator[Counter[str]]:
    """The most connections to a port that each part held at any one look during the block."""
    most: Counter[str] = Counter()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            for name in parts:
                most[name] = max(most[name], held(system.part(name).pid, port))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield most
        finally:
            over.set()
            looking.result()


def load(address: str, token: str) -> None:
    """More calls at once than there are connections: unknown emails, lists, and counts."""
    options: Any = {"metadata": bearer(token), "timeout": 60, "wait_for_ready": True}

    def call(number: int) -> None:
        payload = any_pb2.Any()
        payload.Pack(SendVerificationEmail(mail_id=str(uuid4())))
        calls: list[Callable[[], Any]] = [
            lambda: stub.Enqueue(EnqueueRequest(payload=payload, max_retries=0), **options),
            lambda: stub.ListJobs(ListJobsRequest(page_size=5), **options),
            lambda: stub.GetQueueStats(GetQueueStatsRequest(), **options),
        ]
        calls[number % 3]()

    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(50) as pool:
        stub = JobsServiceStub(channel)
        for done in [pool.submit(call, number) for number in range(CALLS)]:
            done.result()


def test_no_process_holds_more_connections_than_the_page_says(system: System, crowd: Any) -> None:
    assert documented("api-server") == "`API_DATABASE_POOL_SIZE`"
    assert documented("jobs-server") == "`JOBS_POOL_SIZE`"
    per_worker = int(documented("jobs-worker"))
    port = system.plan.ports["postgres"]
    with watched(system, port, "api", "jobs-server", *WORKERS) as most, ThreadPoolExecutor(1) as pool:
        registering = pool.submit(crowd.register, 60)
        load(system.plan.address("jobs-grpc"), system.credentials.operator_token)
        registering.result()
    print(f"held at most: {dict(most)}")
    assert 2 <= most["api"] <= API_POOL
    assert 2 <= most["jobs-server"] <= JOBS_POOL
    assert max(most[name] for name in WORKERS) == per_worker


@pytest.fixture
def pooled(system: System) -> Iterator[PgBouncer]:
    """The jobs server and a worker reach their database through a PgBouncer in transaction mode, and no other does."""
    if program_file() is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    parts = ("jobs-server", *WORKERS)
    for name in parts:
        system.stop_part(name)
    with PgBouncer(system.plan.databases.dsn("postgres", "postgres")) as pooler:
        url = pooler.dsn(system.plan.databases.dsn("postgres", "jobs"))
        for name in parts[:2]:
            spec = system.part(name).spec
            through = {**spec.environment, "JOBS_DATABASE_URL": url, "JOBS_LISTEN": "false"}
            system.add_part(ProcessSpec(f"{name}-pooled", spec.command, through, spec.is_ready))
        yield pooler
        for name in parts[:2]:
            system.stop_part(f"{name}-pooled")
    for name in parts:
        system.start_part(name)


def test_behind_pgbouncer_postgres_sees_no_more_than_the_pooler_may_open(system: System, pooled: PgBouncer) -> None:
    console = pooled.dsn(system.plan.databases.dsn("postgres", "pgbouncer"))
    load(system.plan.address("jobs-grpc"), system.credentials.operator_token)
    with psycopg.connect(console, autocommit=True, cursor_factory=psycopg.ClientCursor) as admin:

        def clients_now() -> Counter[str]:
            return Counter(row["application_name"] for row in shown(admin, "clients") if row["database"] == "jobs")

        # A worker opens the last of its connections with its first outcome.
        eventually(lambda: check("headrace outcomes" in clients_now(), "no job has ended yet"), within=60)
        clients = clients_now()
        servers = [row for row in shown(admin, "servers") if row["database"] == "jobs"]
    print(f"the pooler's clients: {dict(clients)}; its own connections: {len(servers)} of {POOL_SIZE}")
    assert len(servers) <= POOL_SIZE
    assert clients.pop("jobs-server") <= JOBS_POOL
    assert len(clients) == clients.total() == int(documented("jobs-worker")) - 1  # without notifications


def shown(admin: psycopg.Connection[Any], what: str) -> list[dict[str, Any]]:
    """What PgBouncer's console shows."""
    cursor = admin.execute(f"show {what}".encode())
    assert cursor.description is not None
    return [dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor.fetchall()]
