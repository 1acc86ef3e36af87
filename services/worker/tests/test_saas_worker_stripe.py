"""Reading from Stripe with its own library, against the stand-in."""

import json
from collections.abc import AsyncIterator

import pytest

from fake_stripe.app import Double
from fake_stripe.faults import Fault
from fake_stripe.server import serving
from saas_worker.outbound.stripe import StripeReader, StripeRejectedError, StripeUnavailableError


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
async def reader(double: Double) -> AsyncIterator[StripeReader]:
    async with serving(double) as url:
        reader = StripeReader("rk_test_x", base=url)
        yield reader
        await reader.close()


def subscribe(double: Double) -> str:
    price = double.store.get("price", "price_pro_monthly")
    session = double.shop.create_checkout_session([(price, 1)], {}, {})
    return str(double.shop.pay(session["id"])["id"])


async def test_each_type_is_fetched_as_stripe_has_it_now(reader: StripeReader, double: Double) -> None:
    session = double.store.get("checkout.session", subscribe(double))
    for object_type, object_id in [
        ("checkout.session", session["id"]),
        ("subscription", session["subscription"]),
        ("invoice", session["invoice"]),
    ]:
        assert reader.can_fetch(object_type)
        fetched = await reader.fetch(object_type, object_id)
        assert fetched is not None
        assert json.loads(fetched) == double.store.get(object_type, object_id)
    assert not reader.can_fetch("charge")


async def test_an_object_that_stripe_does_not_have_is_none(reader: StripeReader) -> None:
    assert await reader.fetch("subscription", "sub_gone") is None


@pytest.mark.parametrize("kind", ["rate_limit", "down"])
async def test_stripe_being_away_is_not_final(reader: StripeReader, double: Double, kind: str) -> None:
    double.faults.set(Fault(kind))  # type: ignore[arg-type]
    with pytest.raises(StripeUnavailableError):
        await reader.fetch("subscription", "sub_1")


async def test_a_broken_connection_and_a_lock_are_tried_again_at_once(reader: StripeReader, double: Double) -> None:
    session = double.store.get("checkout.session", subscribe(double))
    double.faults.set(Fault("cut"), Fault("conflict"))
    assert await reader.fetch("invoice", session["invoice"])
    assert len(double.api.ledger) == 3


async def test_a_key_that_is_refused_is_not_final_and_a_wrong_request_is(double: Double) -> None:
    async with serving(double) as url:
        reader = StripeReader("wrong", base=url)
        with pytest.raises(StripeUnavailableError, match="AuthenticationError"):
            await reader.fetch("subscription", "sub_1")
        await reader.close()
        reader = StripeReader("sk_test_x", base=f"{url}/elsewhere")
        with pytest.raises(StripeRejectedError, match="Unrecognized request URL"):
            await reader.fetch("subscription", "sub_1")
        await reader.close()


async def test_events_are_listed_to_their_end_newest_first(reader: StripeReader, double: Double) -> None:
    for _ in range(205):
        double.shop.create_customer(email=None, name=None, metadata={"odd": "\ud800"})
    pages = [page async for page in reader.events(since=0)]
    assert [len(page.events) for page in pages] == [100, 100, 5]
    listed = [json.loads(event) for page in pages for event in page.events]
    assert listed == list(double.store.all("event"))[::-1]
    assert [page async for page in reader.events(since=2**40)] == []
