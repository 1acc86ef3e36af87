"""The whole system for a test module, as separate processes, started once; and the clients that talk to it.

A module that needs other settings has a constant ``OPTIONS`` of type `local_stack.stack.system.Options`.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest, ListJobsRequest
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.system import Options, System
from saas.auth.v1.auth_service_pb2 import RegisterRequest
from saas.auth.v1.auth_service_pb2_grpc import AuthServiceStub

MASK = "HEADRACE_TEST_RUN"
UNDER_WAY = [
    job_pb2.JOB_STATE_AVAILABLE,
    job_pb2.JOB_STATE_RUNNING,
    job_pb2.JOB_STATE_RETRYABLE,
    job_pb2.JOB_STATE_SCHEDULED,
]
GIVEN_UP = [job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_DISCARDED, job_pb2.JOB_STATE_QUARANTINED]
AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}
CROWD = 32
"""People who register at the same time."""
PATIENCE = 120.0
"""Seconds after which a person gives up."""


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


@pytest.fixture(scope="session")
def users() -> int:
    """How many people register at once."""
    return int(os.environ.get("E2E_USERS", "200"))


class Crowd:
    """People who register, and try again until they are told that they are registered."""

    def __init__(self, addresses: Sequence[str], name: str) -> None:
        self.domain = f"{name}.example.com"
        self._addresses = addresses
        self._progress = threading.Condition()
        self.registered: list[str] = []

    def register(self, count: int) -> None:
        """Has so many people register at the same time."""
        emails = [f"person{len(self.registered) + number}@{self.domain}" for number in range(count)]
        with ThreadPoolExecutor(CROWD) as pool:
            for future in [
                pool.submit(self._until_registered, email, self._addresses[number % len(self._addresses)])
                for number, email in enumerate(emails)
            ]:
                future.result()

    def register_in_turn(self, count: int, timeout: float = RPC_TIMEOUT) -> float:
        """Has so many people register one after the other, at the first try; returns the median time in seconds."""
        seconds = []
        with grpc.insecure_channel(self._addresses[0]) as channel:
            stub = AuthServiceStub(channel)
            grpc.channel_ready_future(channel).result(timeout)
            for _ in range(count):
                email = f"person{len(self.registered)}@{self.domain}"
                began = time.perf_counter()
                stub.Register(RegisterRequest(email=email, password=f"long enough for {email}"), timeout=timeout)
                seconds.append(time.perf_counter() - began)
                self.registered.append(email)
        return statistics.median(seconds)

    def wait_until_registered(self, count: int) -> None:
        """Waits until so many people are registered."""
        with self._progress:
            check(self._progress.wait_for(lambda: len(self.registered) >= count, PATIENCE), f"not {count} registered")

    def _until_registered(self, email: str, address: str) -> None:
        """Tries with growing pauses, as a well-behaved app does."""
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        with grpc.insecure_channel(address, options=options) as channel:
            stub = AuthServiceStub(channel)
            deadline = time.monotonic() + PATIENCE
            for attempt in range(1000):
                try:
                    stub.Register(
                        RegisterRequest(email=email, password=f"long enough for {email}"), timeout=RPC_TIMEOUT
                    )
                    break
                except grpc.RpcError as error:
                    if error.code() not in AGAIN or time.monotonic() > deadline:
                        raise
                    time.sleep(min(0.1 * 2**attempt, 1.0))
        with self._progress:
            self.registered.append(email)
            self._progress.notify_all()


@pytest.fixture
def crowd(system: System, request: pytest.FixtureRequest) -> Crowd:
    """People with addresses of this test's own."""
    return Crowd([system.address("api-grpc")], request.node.name.replace("_", "-")[:60].rstrip("-"))


class Operator:
    """Somebody who looks into the system by its own interfaces, and waits until it has come to rest."""

    def __init__(self, system: System, clients: Clients) -> None:
        self._system = system
        self._clients = clients
        self._token = bearer(system.credentials.operator_token)

    def api_database(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection as the owner of the api's tables."""
        return psycopg.connect(self._system.plan.databases.dsn("api_owner", "api"), autocommit=True)

    def enqueue(self, request: EnqueueRequest) -> str:
        """Enqueues a job by hand, and returns its id."""
        return self._clients.jobs.Enqueue(request, metadata=self._token, timeout=RPC_TIMEOUT).job_id

    def wait_until_at_rest(self, within: float = 90) -> None:
        """Waits until no outbox row is waiting and no job is unfinished."""

        def at_rest() -> None:
            with self.api_database() as connection:
                left = connection.execute("select from outbox where sent_at is null").fetchall()
            check(not left, f"{len(left)} outbox rows were not sent")
            jobs = self._jobs(*UNDER_WAY)
            states = Counter(job_pb2.JobState.Name(job.state) for job in jobs)
            check(not jobs, f"jobs are under way: {dict(states)}")

        eventually(at_rest, within=within)

    def wait_until_all_is_done(self) -> None:
        """Waits until the system is at rest, and makes sure that no job was given up."""
        self.wait_until_at_rest()
        why = Counter(job.errors[-1].message for job in self._jobs(*GIVEN_UP))
        assert not why, f"jobs were given up: {dict(why)}"

    def _jobs(self, *states: job_pb2.JobState) -> Sequence[job_pb2.Job]:
        request = ListJobsRequest(filter={"states": states}, page_size=500)
        return list(self._clients.jobs.ListJobs(request, metadata=self._token, timeout=RPC_TIMEOUT).jobs)

    def mails_per_person(self, crowd: Crowd) -> Counter[str]:
        """How many emails the mail server has accepted for each address of a crowd."""
        taken = self._clients.mailbox.get("/mails").raise_for_status().json()["mails"]
        recipients = (recipient for mail in taken for recipient in mail["recipients"])
        return Counter(recipient for recipient in recipients if recipient.endswith(f"@{crowd.domain}"))

    def deadlocks(self) -> int:
        """How many deadlocks Postgres has broken up so far."""
        return self._system.postgres.log_file.read_text().count("deadlock detected")

    def open_stripe_events(self) -> int:
        """How many events of Stripe are not in the api's books."""
        with self.api_database() as connection:
            rows = connection.execute("select from stripe_inbox where state = 'received'").fetchall()
        return len(rows)

    @contextmanager
    def forbidden_to_write(self, table: str) -> Iterator[None]:
        """Revokes the api's right to write to one of its tables while the block runs."""
        rights = SQL("insert, update on {} {} api_server")
        with self.api_database() as connection:
            connection.execute(SQL("revoke ") + rights.format(Identifier(table), SQL("from")))
            try:
                yield
            finally:
                connection.execute(SQL("grant ") + rights.format(Identifier(table), SQL("to")))


@pytest.fixture
def operator(system: System, clients: Clients) -> Operator:
    """Somebody who looks after the system."""
    return Operator(system, clients)


@contextmanager
def second_api(system: System) -> Iterator[str]:
    """Runs another replica of the api on free ports, and returns the address of its public gRPC listener."""
    spec = system.part("api").spec
    anywhere = dict.fromkeys(("API_GRPC_ADDRESS", "API_WORKER_GRPC_ADDRESS", "API_HTTP_ADDRESS"), "127.0.0.1:0")
    log = Path(system.logs) / "api-2.log"
    with log.open("w") as out:
        process = subprocess.Popen(spec.command, env={**spec.environment, **anywhere}, stdout=out, stderr=out)
    try:
        yield _listening(process, log, "grpc")
    finally:
        process.terminate()
        process.wait(20)


def _listening(process: subprocess.Popen[bytes], log: Path, name: str) -> str:
    found: list[str] = []

    def listens() -> None:
        assert process.poll() is None, f"the replica ended: {log.read_text()}"
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        found.extend(line["address"] for line in lines if line["event"] == "listening" and line["name"] == name)
        check(found, f"the replica does not listen yet: {log.read_text()}")

    eventually(listens, within=30)
    return found[0]


@pytest.fixture
def two_apis(system: System, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    """A crowd that spreads over two replicas of the api, each with a relay."""
    with second_api(system) as address:
        yield Crowd([system.address("api-grpc"), address], "two-replicas")


@pytest.fixture
def marked_processes(request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """Finds the living processes, of whatever parent, whose environment has ``MASK`` set to this test's id."""
    if not sys.platform.startswith("linux"):
        pytest.skip("finding processes by their environment needs /proc")
    mark = f"{MASK}={request.node.nodeid}".encode()

    def find() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:  # it has just exited, or belongs to another user
                continue
        return found

    return find


@pytest.fixture
def marked_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment with which `marked_processes` finds a process and all its descendants."""
    return {**os.environ, MASK: request.node.nodeid}
