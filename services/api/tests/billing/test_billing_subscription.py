"""From a checkout to access, whatever becomes of the webhooks on the way."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import grpc
import pytest

from saas.jobs.v1 import worker_support_pb2 as support_pb

if TYPE_CHECKING:
    from services.api.tests.billing.conftest import Api, StripeAccount, User, Worker

# The stripe package hands its body to httpx by the older name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
async def subscriber(api: Api, account: StripeAccount, worker: Worker) -> User:
    """A user with an active subscription, all of whose events are done."""
    user = await api.user()
    account.pay((await user.check_out()).session_id)
    await account.double.sender.send(account.double.shop.undelivered)
    await worker.process_all()
    return user


def subscription_of(account: StripeAccount) -> str:
    [subscription] = account.double.store.all("subscription")
    return str(subscription["id"])


async def test_signed_webhooks_sent_twice_and_out_of_order_end_in_an_active_subscription_and_one_mail(
    api: Api, account: StripeAccount, worker: Worker
) -> None:
    user = await api.user()
    page = await user.check_out()
    account.pay(page.session_id)
    deliveries = await account.double.sender.send(account.double.shop.undelivered, duplicate=True, shuffle=True, seed=7)
    assert {delivery.status for delivery in deliveries} == {200}
    await worker.process_all()
    shown = await user.account()
    assert (shown.subscription_status, list(shown.entitlements)) == ("active", ["pro"])
    assert await api.mails() == ["subscription_active"]
    [checkout] = await api.sql("SELECT session_id, status FROM checkouts")
    assert checkout == {"session_id": page.session_id, "status": "complete"}
    assert await api.sql("SELECT 1 FROM stripe_inbox WHERE state = 'received'") == []


async def test_the_period_is_read_from_the_items(api: Api, account: StripeAccount, subscriber: User) -> None:
    [kept] = await api.sql("SELECT current_period_end, user_id, prices FROM subscriptions")
    [subscription] = account.double.store.all("subscription")
    assert kept["current_period_end"].timestamp() == subscription["items"]["data"][0]["current_period_end"]
    assert (kept["user_id"], kept["prices"]) == (subscriber.id, ["price_pro_monthly"])


async def test_applying_twice_changes_nothing(api: Api, account: StripeAccount, worker: Worker) -> None:
    user = await api.user()
    account.pay((await user.check_out()).session_id)
    fetched = await worker.fetch(await api.receive(account.events("customer.subscription.created")[0]))
    assert await worker.apply(fetched)
    before = await api.sql("SELECT *, xmin::text FROM subscriptions")
    assert not await worker.apply(fetched)
    assert await api.sql("SELECT *, xmin::text FROM subscriptions") == before
    assert await api.mails() == ["subscription_active"]


async def test_what_was_fetched_earlier_but_arrives_late_changes_nothing(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    subscription = subscription_of(account)
    account.double.shop.update_subscription(subscription, {"cancel_at_period_end": True})
    early = await worker.fetch(await api.receive(account.events("customer.subscription.updated")[-1]))
    account.double.shop.cancel(subscription)
    assert await worker.process(await api.receive(account.events("customer.subscription.deleted")[-1]))
    assert not await worker.apply(early)
    shown = await subscriber.account()
    assert (shown.subscription_status, list(shown.entitlements)) == ("canceled", [])
    assert await api.mails() == ["subscription_active", "subscription_ended"]
    assert await api.sql("SELECT 1 FROM stripe_inbox WHERE state = 'received'") == []


async def test_of_40_fetches_applied_at_once_in_any_order_the_last_one_stands(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    subscription = subscription_of(account)
    fetched = []
    for number in range(40):
        status = "active" if number % 2 else "past_due"
        account.double.shop.update_subscription(subscription, {"status": status, "metadata": {"number": str(number)}})
        fetched.append(await worker.fetch(await api.receive(account.events("customer.subscription.updated")[-1])))
    last = fetched[-1]
    random.shuffle(fetched)
    applied = await asyncio.gather(*(worker.apply(one) for one in fetched))
    assert applied[fetched.index(last)]
    assert (await subscriber.account()).subscription_status == "active"
    [fence] = await api.sql("SELECT sequence FROM stripe_objects WHERE id = %s", subscription)
    assert fence["sequence"] == last.sequence
    assert await api.mails() == ["subscription_active"]
    assert await api.sql("SELECT 1 FROM stripe_inbox WHERE state = 'received'") == []


ACCESS = {
    "trialing": ["pro"],
    "past_due": ["pro"],
    "active": ["pro"],
    "unpaid": [],
    "paused": [],
    "incomplete": [],
    "incomplete_expired": [],
    "canceled": [],
    "invented_in_2031": [],
}


async def test_access_follows_the_status(api: Api, account: StripeAccount, worker: Worker, subscriber: User) -> None:
    found = {}
    for status in ACCESS:
        account.double.shop.update_subscription(subscription_of(account), {"status": status})
        await worker.process(await api.receive(account.events("customer.subscription.updated")[-1]))
        shown = await subscriber.account()
        found[shown.subscription_status] = list(shown.entitlements)
    assert found == ACCESS


async def test_access_ends_with_the_grace_period_of_a_subscription_that_is_past_due(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    account.double.shop.renew(subscription_of(account), paid=False)
    await worker.process(await api.receive(account.events("customer.subscription.updated")[-1]))
    assert list((await subscriber.account()).entitlements) == ["pro"]
    await api.sql("UPDATE subscriptions SET past_due_since = past_due_since - interval '7 days'")
    assert list((await subscriber.account()).entitlements) == []
    # A repeated event doesn't restart the grace period; a payment ends it.
    account.double.shop.update_subscription(subscription_of(account), {"description": "still owing"})
    await worker.process(await api.receive(account.events("customer.subscription.updated")[-1]))
    assert list((await subscriber.account()).entitlements) == []
    account.double.shop.update_subscription(subscription_of(account), {"status": "active"})
    await worker.process(await api.receive(account.events("customer.subscription.updated")[-1]))
    assert list((await subscriber.account()).entitlements) == ["pro"]


async def test_a_renewal_that_can_not_be_paid_is_told_once(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    account.double.shop.renew(subscription_of(account), paid=False)
    failed = account.events("invoice.payment_failed")[-1]
    asked = {**failed, "id": "evt_another", "type": "invoice.payment_action_required"}
    await worker.process(await api.receive(failed))
    await worker.process(await api.receive(asked))
    assert await api.mails() == ["subscription_active", "payment_failed"]


async def test_a_payment_that_failed_and_then_went_through_is_not_told(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    account.double.shop.renew(subscription_of(account), paid=False)
    failed = account.events("invoice.payment_failed")[-1]
    account.double.shop.pay_invoice(failed["data"]["object"]["id"])
    await worker.process(await api.receive(failed))
    assert await api.mails() == ["subscription_active"]


async def test_a_subscription_that_stripe_no_longer_has_gives_no_access_and_sends_no_mail(
    api: Api, account: StripeAccount, worker: Worker, subscriber: User
) -> None:
    account.double.shop.update_subscription(subscription_of(account), {"description": "soon gone"})
    fetched = await worker.fetch(await api.receive(account.events("customer.subscription.updated")[-1]))
    fetched.object_json = b""
    assert await worker.apply(fetched)
    shown = await subscriber.account()
    assert (shown.subscription_status, list(shown.entitlements)) == ("canceled", [])
    assert await api.mails() == ["subscription_active"]


async def test_a_subscription_of_nobody_we_know_is_kept_without_an_owner(
    api: Api, account: StripeAccount, worker: Worker
) -> None:
    shop = account.double.shop
    customer = shop.create_customer(email="stranger@example.com", name=None, metadata={})
    price = account.double.store.get("price", "price_pro_monthly")
    session = shop.create_checkout_session([(price, 1)], {"customer": customer["id"], "success_url": "x"}, {})
    account.pay(session["id"])
    await worker.process(await api.receive(account.events("customer.subscription.created")[0]))
    [kept] = await api.sql("SELECT user_id, status FROM subscriptions")
    assert kept == {"user_id": None, "status": "active"}
    assert await api.mails() == []


async def test_a_worker_is_told_what_to_fetch_and_when_there_is_nothing_left_to_do(
    api: Api, account: StripeAccount, worker: Worker
) -> None:
    user = await api.user()
    account.pay((await user.check_out()).session_id)
    event = account.events("customer.subscription.created")[0]
    inbox_id = await api.receive(event)
    asked = support_pb.DrawFetchSequenceRequest(inbox_id=str(inbox_id))
    first, second = await api.support.DrawFetchSequence(asked), await api.support.DrawFetchSequence(asked)
    assert (first.event_id, first.event_type) == (event["id"], "customer.subscription.created")
    assert (first.object_type, first.object_id) == ("subscription", subscription_of(account))
    assert first.sequence < second.sequence
    assert not first.done
    await worker.process(inbox_id)
    assert (await api.support.DrawFetchSequence(asked)).done


UNKNOWN = "8a0c6f0e-8a9d-4a39-9a8c-000000000000"


async def test_an_event_that_is_not_in_the_inbox_is_not_found(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.support.DrawFetchSequence(support_pb.DrawFetchSequenceRequest(inbox_id=UNKNOWN))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.support.ApplyStripeEvent(support_pb.ApplyStripeEventRequest(inbox_id=UNKNOWN, sequence=1))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "fetched",
    [
        b"[]",
        b"no JSON",
        b"\xff",
        b"[" * 100_000,
        b'{"object": "subscription", "id": "sub_another"}',
        b'{"object": "customer", "id": "%(id)s"}',
        b'{"object": "subscription", "id": "%(id)s", "items": {"data": [{}]}}',
        b'{"object": "subscription", "id": "%(id)s", "items": null}',
        b'{"object": "subscription", "id": "%(id)s", "items": {"data": []}, "customer": "cus_1", "status": 3}',
    ],
    ids=range(9),
)
async def test_what_is_not_the_events_object_is_refused_and_nothing_is_changed(
    api: Api, account: StripeAccount, worker: Worker, fetched: bytes
) -> None:
    user = await api.user()
    account.pay((await user.check_out()).session_id)
    good = await worker.fetch(await api.receive(account.events("customer.subscription.created")[0]))
    bad = support_pb.ApplyStripeEventRequest(inbox_id=good.inbox_id, sequence=good.sequence)
    bad.object_json = fetched.replace(b"%(id)s", subscription_of(account).encode())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await worker.apply(bad)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await api.sql("SELECT 1 FROM subscriptions UNION SELECT 1 FROM stripe_objects") == []
    assert await worker.apply(good)


async def test_every_notice_can_be_sent(api: Api, account: StripeAccount, worker: Worker, subscriber: User) -> None:
    account.double.shop.renew(subscription_of(account), paid=False)
    await worker.process(await api.receive(account.events("invoice.payment_failed")[-1]))
    account.double.shop.cancel(subscription_of(account))
    await worker.process(await api.receive(account.events("customer.subscription.deleted")[-1]))
    subjects = []
    for row in await api.sql("SELECT id FROM mails ORDER BY created_at"):
        lease = support_pb.JobLease(job_id="1", lease=1)
        rendered = await api.support.RenderMail(support_pb.RenderMailRequest(mail_id=str(row["id"]), lease=lease))
        assert rendered.mail.to == subscriber.email
        subjects.append(rendered.mail.subject)
    assert subjects == [
        "Your subscription to Headrace is active",
        "Your payment for Headrace did not go through",
        "Your subscription to Headrace has ended",
    ]
    assert {row["kind"] for row in await api.sql("SELECT DISTINCT kind FROM outbox WHERE queue = 'notifications'")} == {
        "saas.jobs.v1.SendNotificationEmail"
    }
