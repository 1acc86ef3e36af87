"""Lost webhooks and jobs that were given up: what the reconciler finds, and what it leaves alone.

The jobs service and its worker are real, with a separate database.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from eventually import Eventually
from google.protobuf import any_pb2
from psycopg.rows import dict_row

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1 import job_pb2, jobs_service_pb2_grpc
from headrace.jobs.v1 import jobs_service_pb2 as jobs_pb
from headrace.queue import Handlers, RetryPolicy, Worker, WorkerSettings
from headrace.queue.db.migrate import up
from jobs_service.callers.caller import Caller, Callers
from jobs_service.kinds import load_kinds
from jobs_service.server.program import JobsServer
from jobs_service.server.settings import JobsServerSettings
from saas.jobs.v1 import worker_support_pb2 as support_pb
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook, ReconcileStripe
from saas_worker.handlers.reconcile import Reconcile
from saas_worker.handlers.webhook import ApplyWebhook

if TYPE_CHECKING:
    from api_service.settings import ApiSettings
    from services.api.tests.billing.conftest import Api, Running, StripeAccount

# The stripe package hands its body to httpx by the older name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@dataclass
class Jobs:
    """The jobs service, without a worker until `working`."""

    dsn: str
    server: JobsServer
    stub: Any
    settings: JobsServerSettings

    async def states(self) -> list[str]:
        """The states of the jobs for Stripe's events, oldest first."""
        query = "SELECT state FROM headrace.jobs WHERE kind = %s ORDER BY id"
        async with await psycopg.AsyncConnection.connect(self.dsn, row_factory=dict_row) as connection:
            rows = await connection.execute(query, [ProcessStripeWebhook.DESCRIPTOR.full_name])
            return [row["state"] for row in await rows.fetchall()]

    async def until(self, states: list[str]) -> None:
        """Waits until the jobs for Stripe's events stand so."""

        async def stand_so() -> bool:
            return await self.states() == states

        await Eventually()(stand_so, within=30)

    async def cancel_all(self) -> None:
        """Cancels every job for Stripe's events, as an operator would."""
        kind = ProcessStripeWebhook.DESCRIPTOR.full_name
        for job in (await self.stub.ListJobs(jobs_pb.ListJobsRequest(filter={"kinds": [kind]}))).jobs:
            await self.stub.CancelJob(jobs_pb.CancelJobRequest(job_id=job.id))

    async def reconcile(self, times: int = 1) -> None:
        """Has the reconciler run, as its schedule would; so many times at once."""
        payload = any_pb2.Any()
        payload.Pack(ReconcileStripe())
        asked = [jobs_pb.EnqueueRequest(payload=payload)] * times
        for answer in await asyncio.gather(*(self.stub.Enqueue(each) for each in asked)):
            await self._completed(answer.job_id)

    async def _completed(self, job_id: str) -> None:
        asked = jobs_pb.GetJobRequest(job_id=job_id)

        async def finished() -> job_pb2.Job | None:
            seen: job_pb2.Job = (await self.stub.GetJob(asked)).job
            return seen if seen.HasField("finished_at") else None

        seen = await Eventually()(finished, within=30)
        assert (seen.state, list(seen.errors)) == (job_pb2.JOB_STATE_COMPLETED, [])

    @asynccontextmanager
    async def working(self, api: Api, account: StripeAccount) -> AsyncIterator[None]:
        """A worker, with the product's own handlers of what has to do with Stripe; its retries follow at once."""
        handlers = Handlers(load_kinds(self.settings.jobs_kinds, self.settings))
        handlers.add(ProcessStripeWebhook, ApplyWebhook(api.support, account.reader))
        handlers.add(ReconcileStripe, Reconcile(api.support, account.reader, every=timedelta(minutes=10)))
        at_once = RetryPolicy(base=timedelta(milliseconds=10), factor=1)
        quick = WorkerSettings(poll_interval=timedelta(milliseconds=50), drain_timeout=timedelta(seconds=5))
        worker = Worker(self.dsn, handlers, settings=quick, retry=at_once)
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await running


@pytest.fixture
def jobs_dsn(postgres: Any) -> Iterator[str]:
    """The jobs service's database, migrated."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        up(postgres.dsn(name))
        yield postgres.dsn(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def jobs(jobs_dsn: str, tmp_path: Path) -> AsyncIterator[Jobs]:
    settings = JobsServerSettings(
        jobs_database_url=jobs_dsn,
        jobs_hash_keys=(b"0123456789abcdef",),
        jobs_kinds=("saas.jobs.v1.kinds_pb2",),
        jobs_callers_file=tmp_path / "callers.toml",
        jobs_grpc_address="127.0.0.1:0",
        jobs_drain_timeout=timedelta(seconds=1),
    )
    callers = Callers([Caller(name="api", token_sha256=(token_hash("api-token"),), kinds=("*",), methods=("*",))])
    async with AsyncExitStack() as ending:
        server = await ending.enter_async_context(
            JobsServer(settings, callers, load_kinds(settings.jobs_kinds, settings))
        )
        channel = open_channel(f"127.0.0.1:{server.port}", token="api-token")
        ending.push_async_callback(channel.close)
        yield Jobs(jobs_dsn, server, jobs_service_pb2_grpc.JobsServiceStub(channel), settings)


@pytest.fixture
async def api(settings: ApiSettings, jobs: Jobs, account: StripeAccount, running: Running) -> AsyncIterator[Api]:
    """The service, with its jobs service."""
    served = {"api_jobs_target": f"127.0.0.1:{jobs.server.port}", "api_jobs_token": "api-token"}
    async with running(settings, **served) as api:
        account.double.sender.url = api.webhook_url
        yield api


async def subscribe(api: Api, account: StripeAccount) -> Any:
    """Has a user pay; returns the user. Stripe's webhooks are not sent yet."""
    user = await api.user()
    account.pay((await user.check_out()).session_id)
    return user


async def requeue(api: Api) -> int:
    return int((await api.support.RequeueStripeEvents(support_pb.RequeueStripeEventsRequest())).requeued)


async def receive_one(api: Api, account: StripeAccount) -> None:
    await subscribe(api, account)
    await api.receive(account.events("customer.subscription.created")[0])


async def test_what_failed_until_it_was_discarded_is_in_the_books_after_a_reconcile_with_one_mail(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    user = await subscribe(api, account)
    async with jobs.working(api, account):
        await api.sql("ALTER TABLE subscriptions RENAME TO subscriptions_away")
        kinds = ["customer.subscription.created", "customer.subscription.updated"]
        for kind in kinds:
            await api.receive(account.events(kind)[0])
        await jobs.until(["discarded", "discarded"])
        await api.sql("ALTER TABLE subscriptions_away RENAME TO subscriptions")
        assert (await user.account()).subscription_status == ""
        await jobs.reconcile()
        await api.until("SELECT 1 HAVING NOT EXISTS (SELECT 1 FROM stripe_inbox WHERE state = 'received')")
        shown = await user.account()
        assert (shown.subscription_status, list(shown.entitlements)) == ("active", ["pro"])
        assert await api.mails() == ["subscription_active"]
        generations = await api.sql(
            "SELECT type, generation FROM stripe_inbox WHERE type LIKE 'customer.subscription.%%' ORDER BY type"
        )
        assert generations == [{"type": kind, "generation": 2} for kind in kinds]
        assert await requeue(api) == 0


async def test_events_whose_webhooks_were_lost_are_found_in_stripes_list(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    user = await subscribe(api, account)
    async with jobs.working(api, account):
        await jobs.reconcile()
        await api.until("SELECT 1 HAVING NOT EXISTS (SELECT 1 FROM stripe_inbox WHERE state = 'received')")
        assert list((await user.account()).entitlements) == ["pro"]
        known = await api.sql("SELECT event_id FROM stripe_inbox")
        assert len(known) == len(list(account.double.store.all("event")))
        # Webhooks that come after all, and the next run, find everything there.
        deliveries = await account.double.sender.send(account.double.shop.undelivered)
        assert {delivery.status for delivery in deliveries} == {200}
        await jobs.reconcile()
        assert await api.sql("SELECT event_id FROM stripe_inbox") == known
        assert await api.mails() == ["subscription_active"]


async def test_twenty_reconciles_at_once_all_end_and_each_event_is_in_the_books_once(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    users = [await subscribe(api, account) for _ in range(8)]
    events = [event["id"] for event in account.double.store.all("event")]
    async with jobs.working(api, account), jobs.working(api, account):
        async with asyncio.timeout(60):
            await jobs.reconcile(times=20)
        await api.until("SELECT 1 HAVING NOT EXISTS (SELECT 1 FROM stripe_inbox WHERE state = 'received')")
    rows = await api.sql("SELECT event_id, generation, state FROM stripe_inbox")
    assert sorted(row["event_id"] for row in rows) == sorted(events)
    assert {row["generation"] for row in rows if row["state"] == "done"} == {1}
    assert await jobs.states() == ["completed"] * sum(row["state"] == "done" for row in rows)
    assert await api.mails() == ["subscription_active"] * len(users)
    assert {(await user.account()).subscription_status for user in users} == {"active"}


async def test_an_event_with_a_live_job_is_left_alone(api: Api, account: StripeAccount, jobs: Jobs) -> None:
    await receive_one(api, account)
    await jobs.until(["available"])
    await api.until("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL")
    assert await requeue(api) == 0


async def test_an_event_whose_job_ended_is_handed_over_by_one_of_many_reconcilers(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    await receive_one(api, account)
    await jobs.until(["available"])
    await jobs.cancel_all()
    await api.until("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL")
    assert sum(await asyncio.gather(*(requeue(api) for _ in range(6)))) == 1
    await jobs.until(["cancelled", "available"])
    [event] = await api.sql("SELECT event_id, generation FROM stripe_inbox")
    keys = [row["idempotency_key"] for row in await api.sql("SELECT idempotency_key FROM outbox ORDER BY id")]
    assert keys == [f"{event['event_id']}:1", f"{event['event_id']}:2"]
    assert event["generation"] == 2


async def test_an_event_whose_job_is_not_known_any_more_is_handed_over(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    await receive_one(api, account)
    await jobs.until(["available"])
    await api.until("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL")
    await api.sql("UPDATE outbox SET job_id = '999999999'")
    assert await requeue(api) == 1
    await api.until("SELECT 1 FROM outbox HAVING bool_and(sent_at IS NOT NULL)")
    await api.sql("DELETE FROM outbox")
    assert await requeue(api) == 1


async def test_an_event_that_is_done_is_left_alone(api: Api, account: StripeAccount, jobs: Jobs) -> None:
    await receive_one(api, account)
    async with jobs.working(api, account):
        await jobs.until(["completed"])
    assert await requeue(api) == 0


async def test_while_the_jobs_service_is_away_everything_is_left_alone(
    api: Api, account: StripeAccount, jobs: Jobs
) -> None:
    await receive_one(api, account)
    await jobs.until(["available"])
    await jobs.cancel_all()
    await api.until("SELECT 1 FROM outbox WHERE sent_at IS NOT NULL")
    await jobs.server.__aexit__(None, None, None)
    assert await requeue(api) == 0
    [event] = await api.sql("SELECT generation FROM stripe_inbox")
    assert event["generation"] == 1


async def test_an_event_that_waits_in_the_outbox_is_left_alone(api: Api, account: StripeAccount, jobs: Jobs) -> None:
    await jobs.server.__aexit__(None, None, None)
    await receive_one(api, account)
    assert await requeue(api) == 0
    await api.sql("UPDATE outbox SET parked_at = now()")
    assert await requeue(api) == 0


async def test_a_listed_event_that_can_not_be_read_does_not_keep_the_others_out(
    api: Api, account: StripeAccount
) -> None:
    await subscribe(api, account)
    good = [json.dumps(event).encode() for event in account.double.store.all("event")]
    asked = support_pb.RecordStripeEventsRequest(events_json=[b"[]", *good, good[0], b"\xff"])
    assert (await api.support.RecordStripeEvents(asked)).recorded == len(good)
    assert (await api.support.RecordStripeEvents(asked)).recorded == 0


async def test_of_many_that_bring_the_same_events_at_once_each_event_is_recorded_by_one(
    api: Api, account: StripeAccount
) -> None:
    for _ in range(3):
        await subscribe(api, account)
    listed = [json.dumps(event).encode() for event in account.double.store.all("event")]
    # Each in another order: who took them as they came would wait in a circle.
    asked = [support_pb.RecordStripeEventsRequest(events_json=random.sample(listed, len(listed))) for _ in range(8)]
    answers = await asyncio.gather(*(api.support.RecordStripeEvents(each, timeout=20) for each in asked))
    assert sum(answer.recorded for answer in answers) == len(listed)
    assert len(await api.sql("SELECT event_id FROM stripe_inbox")) == len(listed)
