"""The stand-in's API, called and parsed by Stripe's own library."""

import asyncio
import types
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import stripe

from fake_stripe.app import Double
from fake_stripe.faults import Fault
from fake_stripe.server import serving

# Stripe's library posts its form as text, which httpx deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def double(clock: Clock) -> Double:
    return Double(clock=clock)


@pytest.fixture
async def url(double: Double) -> AsyncIterator[str]:
    async with serving(double) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[stripe.StripeClient]:
    http = stripe.HTTPXClient(timeout=5)
    yield stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=http)
    await http.close_async()  # type: ignore[no-untyped-call]


async def open_session(client: stripe.StripeClient, **more: Any) -> stripe.checkout.Session:
    asked: Any = {
        "mode": "subscription",
        "line_items": [{"price": "price_pro_monthly", "quantity": 2}],
        "success_url": "https://shop.example/thanks",
        "subscription_data": {"metadata": {"account": "a1"}},
    }
    return await client.v1.checkout.sessions.create_async(asked | more)


async def test_a_paid_checkout_is_a_subscription_with_its_period_on_the_item_and_a_paid_invoice(
    client: stripe.StripeClient, double: Double, clock: Clock
) -> None:
    customer = await client.v1.customers.create_async({"email": "a@shop.example", "metadata": {"1": "x"}})
    session = await open_session(client, customer=customer.id, client_reference_id="7")
    assert (session.status, session.amount_total, session.client_reference_id) == ("open", 3800, "7")

    double.shop.pay(session.id)

    session = await client.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["subscription.latest_invoice"]})
    assert (session.status, session.payment_status) == ("complete", "paid")
    subscription = session.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert (subscription.status, subscription.metadata["account"]) == ("active", "a1")
    item = subscription.items.data[0]
    assert isinstance(item, stripe.SubscriptionItem)
    assert item.current_period_end == clock.now + 30 * 86_400
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == ("paid", 3800, 0)
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id


async def test_every_change_is_an_event_with_the_object_as_it_was_then(
    client: stripe.StripeClient, double: Double
) -> None:
    session = await open_session(client, customer_email="a@shop.example")
    double.shop.pay(session.id)
    events = (await client.v1.events.list_async({"limit": 100})).data
    assert [event.type for event in reversed(events)] == [
        "customer.created",
        "invoice.created",
        "invoice.finalized",
        "customer.subscription.created",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]
    told = {event.type: event for event in events}
    assert told["customer.subscription.created"].data.object["status"] == "incomplete"
    updated = told["customer.subscription.updated"]
    assert updated.data.object["status"] == "active"
    assert updated.data.to_dict()["previous_attributes"] == {"status": "incomplete"}
    assert updated.api_version == stripe.api_version


async def test_a_failed_renewal_leaves_a_subscription_past_due_until_its_invoice_is_paid(
    client: stripe.StripeClient, double: Double
) -> None:
    session = await open_session(client)
    subscription_id = double.shop.pay(session.id)["subscription"]
    double.shop.renew(subscription_id, paid=False)
    subscription = await client.v1.subscriptions.retrieve_async(subscription_id)
    assert subscription.status == "past_due"
    await client.v1.invoices.pay_async(str(subscription.latest_invoice))
    assert (await client.v1.subscriptions.retrieve_async(subscription_id)).status == "active"
    await client.v1.subscriptions.update_async(subscription_id, {"cancel_at_period_end": True})
    assert (await client.v1.subscriptions.cancel_async(subscription_id)).status == "canceled"


async def test_a_list_is_paged_newest_first_and_bounded_by_time(client: stripe.StripeClient, clock: Clock) -> None:
    made = []
    for _ in range(7):
        clock.now += 10
        made.append((await client.v1.customers.create_async({})).id)
    first = await client.v1.customers.list_async({"limit": 3})
    assert [customer.id for customer in first.data] == made[:-4:-1]
    assert first.has_more
    assert [customer.id async for customer in first.auto_paging_iter()] == made[::-1]
    last = await client.v1.customers.list_async({"limit": 3, "starting_after": made[2]})
    assert ([customer.id for customer in last.data], last.has_more) == ([made[1], made[0]], False)
    before = await client.v1.customers.list_async({"limit": 2, "ending_before": made[2]})
    assert ([customer.id for customer in before.data], before.has_more) == ([made[4], made[3]], True)
    recent = await client.v1.events.list_async({"created": {"gte": clock.now - 10}, "types": ["customer.created"]})
    assert len(recent.data) == 2


async def test_the_same_key_and_parameters_are_answered_the_same_and_done_once(
    client: stripe.StripeClient, double: Double
) -> None:
    first = await client.v1.customers.create_async({"email": "a@shop.example"}, {"idempotency_key": "k"})
    again = await client.v1.customers.create_async({"email": "a@shop.example"}, {"idempotency_key": "k"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert sum(1 for _ in double.store.all("customer")) == 1


async def test_the_same_key_with_other_parameters_is_refused(client: stripe.StripeClient) -> None:
    await client.v1.customers.create_async({"email": "a@shop.example"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.customers.create_async({"email": "b@shop.example"}, {"idempotency_key": "k"})


async def test_a_key_is_forgotten_after_a_day(client: stripe.StripeClient, clock: Clock) -> None:
    first = await client.v1.customers.create_async({}, {"idempotency_key": "k"})
    clock.now += 24 * 3600
    assert (await client.v1.customers.create_async({}, {"idempotency_key": "k"})).id != first.id


async def test_a_key_whose_first_request_still_runs_is_in_conflict(client: stripe.StripeClient, double: Double) -> None:
    double.faults.set(Fault("slow", seconds=0.3))
    slow = asyncio.create_task(client.v1.customers.create_async({}, {"idempotency_key": "k"}))
    await asyncio.wait_for(double.api.called.wait(), 5)
    with pytest.raises(stripe.APIError) as refused:
        await client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert (refused.value.http_status, refused.value.error and refused.value.error.code) == (
        409,
        "idempotency_key_in_use",
    )
    assert (await slow).id.startswith("cus_")


async def test_a_refused_parameter_leaves_its_key_free(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.customers.create_async({"emial": "x"}, {"idempotency_key": "k"})  # type: ignore[arg-type]
    assert await client.v1.customers.create_async({"email": "x"}, {"idempotency_key": "k"})


async def test_a_500_after_the_effect_is_repeated_under_its_key(client: stripe.StripeClient, double: Double) -> None:
    double.faults.set(Fault("error_after", method="POST"))
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            await client.v1.customers.create_async({}, {"idempotency_key": "k"})
        assert failed.value.http_status == 500
    assert sum(1 for _ in double.store.all("customer")) == 1


async def test_an_answer_lost_on_the_way_is_got_again_by_the_librarys_own_retry(url: str, double: Double) -> None:
    http = stripe.HTTPXClient(timeout=5)
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=http, max_network_retries=2)
    double.faults.set(Fault("cut_after", method="POST"), Fault("conflict", method="POST"))
    customer = await client.v1.customers.create_async({})
    assert [made["id"] for made in double.store.all("customer")] == [customer.id]
    assert [(entry.status, entry.replayed) for entry in double.api.ledger] == [(0, False), (409, False), (200, True)]
    await http.close_async()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("rate_limit"), stripe.RateLimitError),
        (Fault("conflict"), stripe.APIError),
        (Fault("error"), stripe.APIError),
        (Fault("down"), stripe.APIError),
        (Fault("cut"), stripe.APIConnectionError),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_a_fault_before_the_effect_has_none(
    client: stripe.StripeClient, double: Double, fault: Fault, error: type[stripe.StripeError]
) -> None:
    double.faults.set(fault)
    with pytest.raises(error):
        await client.v1.customers.create_async({}, {"idempotency_key": "k"})
    assert not list(double.store.all("customer"))
    double.faults.set()
    assert await client.v1.customers.create_async({}, {"idempotency_key": "k"})


async def test_what_is_wrong_is_named_as_stripe_names_it(client: stripe.StripeClient, url: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        await client.v1.subscriptions.retrieve_async("sub_nowhere")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as unsold:
        await open_session(client, line_items=[{"price": "price_unknown"}])
    assert (unsold.value.http_status, unsold.value.param) == (400, "line_items[0][price]")
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.charges.retrieve_async("ch_1")
    async with httpx.AsyncClient() as bare:
        assert (await bare.get(f"{url}/v1/customers")).status_code == 401


async def test_every_answer_has_all_fields_that_the_library_declares_as_always_there(
    client: stripe.StripeClient, double: Double
) -> None:
    session = await open_session(client)
    double.shop.pay(session.id)
    customer = next(double.store.all("customer"))
    price = await client.v1.prices.create_async(
        {"currency": "eur", "unit_amount": 5, "recurring": {"interval": "year"}, "product_data": {"name": "New"}}
    )
    portal = await client.v1.billing_portal.sessions.create_async({"customer": customer["id"]})
    invoice = (await client.v1.invoices.list_async()).data[0]
    subscription = (await client.v1.subscriptions.list_async()).data[0]
    answers: list[stripe.StripeObject] = [
        session, price, portal, invoice, subscription, invoice.lines.data[0], subscription.items.data[0],
        (await client.v1.customers.retrieve_async(customer["id"])),
        (await client.v1.products.list_async()).data[0],
        (await client.v1.events.list_async()).data[0],
    ]  # fmt: skip
    assert [gap for answer in answers for gap in gaps(answer)] == []


def gaps(answer: stripe.StripeObject, path: str = "") -> Iterator[str]:
    """The fields that the SDK's class declares as never null and always there, and that are missing."""
    path = path or type(answer).__name__
    present = answer.to_dict(recursive=False)
    for name, declared in type(answer).__annotations__.items():
        arguments = typing.get_args(declared)
        optional = types.NoneType in arguments or "ClassVar" in str(declared)
        value = present.get(name)
        if value is None and not optional and not name.startswith("_"):
            yield f"{path}.{name}"
        if isinstance(value, stripe.StripeObject):
            yield from gaps(value, f"{path}.{name}")
