"""CreateCheckoutSession: one session for one client key, whatever happens on the way to Stripe."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from fake_stripe.faults import Fault

if TYPE_CHECKING:
    from services.api.tests.billing.conftest import Api, StripeAccount

# The stripe package hands its body to httpx by the older name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CUSTOMERS, SESSIONS = "/v1/customers", "/v1/checkout/sessions"


def reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


async def test_a_session_carries_whose_it_is_and_what_is_bought(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    page = await user.check_out()
    session = account.double.store.get("checkout.session", page.session_id)
    customer = account.double.store.get("customer", session["customer"])
    assert page.url == session["url"]
    assert session["client_reference_id"] == session["metadata"]["headrace_user_id"] == str(user.id)
    assert (customer["email"], customer["metadata"]["headrace_user_id"]) == (user.email, str(user.id))
    assert session["success_url"].startswith("http://shop.example/")


async def test_the_same_client_key_answers_the_same_session_also_to_callers_at_the_same_time(
    api: Api, account: StripeAccount
) -> None:
    user = await api.user()
    pages = await asyncio.gather(*(user.check_out() for _ in range(8)), return_exceptions=True)
    # Stripe rejects a key that is in use; the caller has to retry, and then gets the same result.
    sessions = {page.session_id for page in pages if not isinstance(page, BaseException)}
    sessions.add((await user.check_out()).session_id)
    assert len(sessions) == 1
    assert len(list(account.double.store.all("checkout.session"))) == 1
    assert len(list(account.double.store.all("customer"))) == 1


async def test_another_client_key_is_another_session_of_the_same_customer(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    first, second = await user.check_out("one"), await user.check_out("two")
    assert first.session_id != second.session_id
    assert len(list(account.double.store.all("customer"))) == 1


async def test_a_client_key_of_another_user_is_another_session(api: Api) -> None:
    one, another = await api.user(), await api.user()
    assert (await one.check_out()).session_id != (await another.check_out()).session_id


async def test_a_client_key_can_not_be_used_for_another_price(api: Api) -> None:
    user = await api.user()
    await user.check_out()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.check_out(price_id="price_team_monthly")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason(refused.value) == "CLIENT_KEY_REUSED"


async def test_a_price_that_is_not_sold_is_refused_before_stripe_is_asked(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.check_out(price_id="price_of_another_account")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason(refused.value) == "PRICE_NOT_SOLD"
    assert account.double.api.ledger == []


async def test_a_call_without_a_login_is_refused(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    user.token = "not-a-token"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.check_out()
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert account.double.api.ledger == []


@pytest.mark.parametrize("path", [CUSTOMERS, SESSIONS])
@pytest.mark.parametrize("kind", ["rate_limit", "down"])
async def test_while_stripe_is_away_the_caller_is_told_when_to_come_again(
    api: Api, account: StripeAccount, path: str, kind: str
) -> None:
    user = await api.user()
    account.double.faults.set(Fault(kind=kind, method="POST", path=path, times=99))  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.check_out()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(refused.value) == "STRIPE_UNAVAILABLE"
    status = rpc_status.from_call(refused.value)
    retry = error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.seconds >= 1
    account.double.faults.set()
    await user.check_out()
    assert len(list(account.double.store.all("customer"))) == 1
    assert len(list(account.double.store.all("checkout.session"))) == 1


@pytest.mark.parametrize("path", [CUSTOMERS, SESSIONS])
@pytest.mark.parametrize("kind", ["cut", "cut_after", "conflict", "error", "error_after"])
async def test_a_call_that_breaks_off_ends_with_one_customer_and_one_session(
    api: Api, account: StripeAccount, path: str, kind: str
) -> None:
    user = await api.user()
    # Three times is once more than the package repeats; then the caller comes again.
    account.double.faults.set(Fault(kind=kind, method="POST", path=path, times=3))  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError) as broken_off:
        await user.check_out()
    assert broken_off.value.code() is grpc.StatusCode.UNAVAILABLE
    page = await user.check_out()
    assert [one["id"] for one in account.double.store.all("checkout.session")] == [page.session_id]
    assert len(list(account.double.store.all("customer"))) == 1


async def test_an_intent_whose_key_stripe_has_forgotten_looks_first(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    await user.check_out("one")
    await api.sql("UPDATE stripe_customers SET stripe_id = NULL, created_at = created_at - interval '1 day'")
    await user.check_out("two")
    assert len(list(account.double.store.all("customer"))) == 1
    assert account.calls("POST", CUSTOMERS) == 1


async def test_a_customer_that_stripe_no_longer_has_is_made_anew(api: Api, account: StripeAccount) -> None:
    user = await api.user()
    await user.check_out("one")
    await api.sql("UPDATE stripe_customers SET stripe_id = 'cus_deleted'")
    await user.check_out("two")
    rows = await api.sql("SELECT stripe_id, retired_at IS NULL AS in_use FROM stripe_customers ORDER BY created_at")
    assert [row["in_use"] for row in rows] == [False, True]
    assert rows[1]["stripe_id"] != "cus_deleted"


async def test_a_checkout_that_has_run_out_asks_for_a_new_client_key(api: Api) -> None:
    user = await api.user()
    await user.check_out()
    await api.sql("UPDATE checkouts SET created_at = created_at - interval '1 day'")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await user.check_out()
    assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "CHECKOUT_EXPIRED")
    await user.check_out("two")
