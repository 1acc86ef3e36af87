"""`jobs-worker` with the product's handlers, as a process. The tests play the api and the SMTP server."""

# ruff: noqa: ARG002, N802 - gRPC and aiosmtpd call these by name, with all of these.

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from eventually import Eventually
from google.protobuf.message import Message

from fake_stripe.app import Double
from fake_stripe.server import serving
from headrace.chassis.rpc.server import GrpcServer
from headrace.queue import (
    Enqueued,
    Enqueuer,
    Job,
    JobFilter,
    Kinds,
    NewJob,
    explain_job_async,
    get_job_async,
    list_jobs_async,
)
from headrace.queue.db import migrate
from saas.jobs.v1 import kinds_pb2
from saas.jobs.v1.worker_support_pb2 import (
    ApplyStripeEventRequest,
    ApplyStripeEventResponse,
    DrawFetchSequenceRequest,
    DrawFetchSequenceResponse,
    RecordMailSentRequest,
    RecordMailSentResponse,
    RecordStripeEventsRequest,
    RecordStripeEventsResponse,
    RenderedMail,
    RenderMailRequest,
    RenderMailResponse,
    RequeueStripeEventsRequest,
    RequeueStripeEventsResponse,
)
from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportServicer, add_WorkerSupportServicer_to_server

KINDS = Kinds.of_file(kinds_pb2.DESCRIPTOR)
TOKEN = "worker-token"


class Api(WorkerSupportServicer):
    """Renders any mail, and applies any event to the one subscription there is."""

    def __init__(self, subscription_id: str) -> None:
        self.subscription_id = subscription_id
        self.sent: list[str] = []
        self.applied: list[bytes] = []
        self.tokens: set[str] = set()

    async def RenderMail(self, request: RenderMailRequest, context: Any) -> RenderMailResponse:
        self.tokens.add(dict(context.invocation_metadata())["authorization"])
        mail = RenderedMail(to="bob@post.example", subject="Hi", text="Hi", message_id=f"<{request.mail_id}@shop>")
        setattr(mail, "from", "no-reply@shop.example")
        return RenderMailResponse(mail=mail)

    async def RecordMailSent(self, request: RecordMailSentRequest, context: Any) -> RecordMailSentResponse:
        self.sent.append(request.mail_id)
        return RecordMailSentResponse()

    async def DrawFetchSequence(self, request: DrawFetchSequenceRequest, context: Any) -> DrawFetchSequenceResponse:
        return DrawFetchSequenceResponse(sequence=1, object_type="subscription", object_id=self.subscription_id)

    async def ApplyStripeEvent(self, request: ApplyStripeEventRequest, context: Any) -> ApplyStripeEventResponse:
        self.applied.append(request.object_json)
        return ApplyStripeEventResponse(applied=True)

    async def RecordStripeEvents(self, request: RecordStripeEventsRequest, context: Any) -> RecordStripeEventsResponse:
        return RecordStripeEventsResponse(recorded=len(request.events_json))

    async def RequeueStripeEvents(
        self, request: RequeueStripeEventsRequest, context: Any
    ) -> RequeueStripeEventsResponse:
        return RequeueStripeEventsResponse()


class Mailbox:
    """Takes mails; holds its answer to the content while `open` is not set."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.taken = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.asked.set()
        await self.open.wait()
        self.taken += 1
        return "250 OK"


class Program:
    """A running `jobs-worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.lines.append(line.decode())
                self._news.notify_all()

    async def said(self, wanted: str) -> dict[str, Any]:
        """Waits for a line of the log that contains a text, and returns it."""
        async with asyncio.timeout(30), self._news:
            while True:
                if (found := next((each for each in self.lines if wanted in each), None)) is not None:
                    entry: dict[str, Any] = json.loads(found)
                    return entry
                await self._news.wait()

    async def end(self) -> int:
        """Waits until it has ended, and returns its exit code."""
        async with asyncio.timeout(30):
            code = await self.process.wait()
            await self._reading
        return code


class System:
    """What a worker needs around it."""

    def __init__(self, dsn: str, api: Api, mailbox: Mailbox, environment: dict[str, str]) -> None:
        self.dsn = dsn
        self.api = api
        self.mailbox = mailbox
        self._environment = environment

    @asynccontextmanager
    async def worker(self, **settings: str) -> AsyncIterator[Program]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from jobs_service.worker.program import main; main()",
            env=self._environment | settings,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Program(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def accept(self, *payloads: Message) -> list[int]:
        enqueuer = Enqueuer(KINDS, hash_keys=(b"sixteen bytes at least",))
        async with await psycopg.AsyncConnection.connect(self.dsn) as connection:
            results = await enqueuer.enqueue_many_async(connection, [NewJob(payload) for payload in payloads])
        return [result.job_id for result in results if isinstance(result, Enqueued)]

    async def jobs(self, *ids: int) -> list[Job]:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            return [await get_job_async(connection, job_id) for job_id in ids]

    async def count(self, **of: Any) -> int:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            return len(await list_jobs_async(connection, JobFilter(**of), limit=50))


@pytest.fixture
async def system(database: str) -> AsyncIterator[System]:
    await asyncio.to_thread(migrate.up, database)
    double = Double()
    price = double.store.get("price", "price_pro_monthly")
    session = double.shop.pay(double.shop.create_checkout_session([(price, 1)], {}, {})["id"])
    api, mailbox = Api(session["subscription"]), Mailbox()
    server = GrpcServer(address="127.0.0.1:0")
    server.add(add_WorkerSupportServicer_to_server, api, "saas.jobs.v1.WorkerSupport")
    smtp = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    async with serving(double) as stripe_url:
        environment = {
            "PATH": os.environ["PATH"],
            "JOBS_DATABASE_URL": database,
            "JOBS_HANDLERS": "saas_worker.program:handlers",
            "JOBS_HEALTH_ADDRESS": "127.0.0.1:0",
            "JOBS_API_TARGET": f"127.0.0.1:{await server.start()}",
            "JOBS_API_TOKEN": TOKEN,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(smtp.sockets[0].getsockname()[1]),
            "STRIPE_SECRET_KEY": "rk_test_x",
            "STRIPE_API_BASE": stripe_url,
        }
        yield System(database, api, mailbox, environment)
    mailbox.open.set()
    smtp.close()
    await server.stop(0)


def mails(number: int) -> list[Message]:
    return [kinds_pb2.SendVerificationEmail(mail_id=str(uuid4())) for _ in range(number)]


async def health_of(program: Program, path: str) -> int:
    address = (await program.said('"name": "health"'))["address"]
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://{address}{path}")).status_code


async def test_jobs_of_every_kind_are_worked_off(system: System) -> None:
    system.mailbox.open.set()
    webhook = kinds_pb2.ProcessStripeWebhook(inbox_id=str(uuid4()))
    ids = await system.accept(*mails(3), webhook)
    async with system.worker() as program:

        async def all_done() -> bool:
            reconciled = await system.count(kinds=("saas.jobs.v1.ReconcileStripe",), states=("completed",))
            return {job.state for job in await system.jobs(*ids)} == {"completed"} and reconciled == 1

        await Eventually()(all_done, within=30)
        for job_id in ids[:3]:
            line = await program.said(f'"job_id": "{job_id}"')
            assert (line["event"], line["attempt"]) == ("mail sent", 1)
        assert await health_of(program, "/livez") == 200
        assert await health_of(program, "/readyz") == 200
        program.process.terminate()
        assert await program.end() == 0
    assert (len(system.api.sent), system.mailbox.taken) == (3, 3)
    assert system.api.tokens == {f"Bearer {TOKEN}"}
    assert json.loads(system.api.applied[0])["status"] == "active"
    assert "bob@post.example" not in "".join(program.lines)


async def test_on_sigterm_a_mail_under_way_is_finished_and_nothing_new_is_begun(system: System) -> None:
    async with system.worker() as program:
        [under_way] = await system.accept(*mails(1))
        await asyncio.wait_for(system.mailbox.asked.wait(), 30)
        program.process.terminate()
        await program.said("draining")
        [late] = await system.accept(*mails(1))
        system.mailbox.open.set()
        assert await program.end() == 0
    first, second = await system.jobs(under_way, late)
    assert (first.state, first.attempt, second.state, second.attempt) == ("completed", 1, "available", 0)
    assert len(system.api.sent) == 1


async def test_what_can_not_end_within_the_drain_is_handed_back_with_its_attempt_unspent(system: System) -> None:
    async with system.worker(JOBS_DRAIN_TIMEOUT="100ms") as program:
        [job_id] = await system.accept(*mails(1))
        await asyncio.wait_for(system.mailbox.asked.wait(), 30)
        program.process.terminate()
        assert await program.end() == 0
    [job] = await system.jobs(job_id)
    assert (job.state, job.attempt, job.errors) == ("available", 0, [])


async def test_a_worker_that_is_not_enabled_is_healthy_and_runs_nothing(system: System) -> None:
    [job_id] = await system.accept(*mails(1))
    async with system.worker(JOBS_ENABLED="false", JOBS_RECONCILE_EVERY="1s") as program:

        async def upkeep_goes_on() -> bool:
            return await system.count(kinds=("saas.jobs.v1.ReconcileStripe",)) >= 2

        await Eventually()(upkeep_goes_on, within=30)
        assert await health_of(program, "/readyz") == 200
        assert [job.state for job in await system.jobs(job_id)] == ["available"]
        async with await psycopg.AsyncConnection.connect(system.dsn, autocommit=True) as connection:
            explanation = await explain_job_async(connection, job_id)
        assert "have jobs disabled (JOBS_ENABLED=false)" in explanation.summary


async def test_a_worker_that_does_not_listen_finds_jobs_by_its_poll(system: System) -> None:
    system.mailbox.open.set()
    async with system.worker(JOBS_LISTEN="false", JOBS_POLL_INTERVAL="50ms"):
        [job_id] = await system.accept(*mails(1))

        async def completed() -> bool:
            [job] = await system.jobs(job_id)
            return job.state == "completed"

        await Eventually()(completed, within=30)
        async with await psycopg.AsyncConnection.connect(system.dsn) as connection:
            listening = await connection.execute(
                "select from pg_stat_activity where datname = current_database() and application_name like %s",
                ("% notifications",),
            )
            assert await listening.fetchall() == []


async def test_a_worker_before_its_migrations_is_alive_and_not_ready_and_goes_to_work_after_them(
    system: System,
) -> None:
    system.mailbox.open.set()
    async with await psycopg.AsyncConnection.connect(system.dsn, autocommit=True) as connection:
        await connection.execute("drop schema headrace cascade")
    async with system.worker() as program:
        await program.said("not ready yet")
        assert await health_of(program, "/livez") == 200
        assert await health_of(program, "/readyz") == 503
        await asyncio.to_thread(migrate.up, system.dsn)
        [job_id] = await system.accept(*mails(1))

        async def done() -> bool:
            return [job.state for job in await system.jobs(job_id)] == ["completed"]

        await Eventually()(done, within=30)
        assert await health_of(program, "/readyz") == 200
