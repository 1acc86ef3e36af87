"""Starts a checkout: the page at Stripe where a user pays.

A row with the call's idempotency key is written before the call to Stripe. So retrying a call, or continuing one that
was interrupted anywhere, leads to the same session.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import stripe
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from stripe.params.checkout import SessionCreateParams

from api_service.auth.models import User
from api_service.billing.customers import KEY_LIFETIME, Customers, idempotency_key, is_doubtful
from api_service.billing.models import Checkout, Customer
from api_service.billing.prices import PriceList
from api_service.billing.stripe_api import StripeUnavailableError, as_away, metadata_of
from api_service.billing.subscription import CHECKOUT_ID, USER_ID
from api_service.database import Database

_TIMEOUT = timedelta(seconds=30)
"""How long one call may take in total."""


class PriceNotSoldError(ValueError):
    """The price isn't in the list, or Stripe doesn't sell it."""


class ClientKeyReusedError(ValueError):
    """The client key was used before, with another price."""


class CheckoutExpiredError(ValueError):
    """The client key's session has expired without a payment."""


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    """Where the user pays."""

    session_id: str
    url: str


class Checkouts:
    """Starts checkouts."""

    def __init__(
        self, database: Database, client: stripe.StripeClient, prices: PriceList, *, success_url: str, cancel_url: str
    ) -> None:
        """Makes no calls yet.

        Args:
            database: The service's database.
            client: Stripe's API.
            prices: What is sold.
            success_url: Where Stripe sends the user after the payment; may hold "{CHECKOUT_SESSION_ID}".
            cancel_url: Where Stripe sends a user who cancels.
        """
        self._database = database
        self._stripe = client
        self._prices = prices
        self._customers = Customers(database, client)
        self._success_url = success_url
        self._cancel_url = cancel_url

    async def start(self, user: User, *, price_id: str, client_key: str) -> CheckoutPage:
        """Returns the page for a price; the same page for the same client key.

        Raises:
            PriceNotSoldError, ClientKeyReusedError, CheckoutExpiredError: As their names say.
            StripeUnavailableError: A retry continues the same checkout.
            DatabaseUnavailableError: The same.
            stripe.StripeError: Stripe rejects the call itself, for example because of a wrong secret key.
        """
        if price_id not in self._prices:
            raise PriceNotSoldError(f"{price_id} is not sold here")
        try:
            async with asyncio.timeout(_TIMEOUT.total_seconds()):
                return await self._start(user, price_id, client_key)
        except TimeoutError as error:
            raise StripeUnavailableError(f"no answer within {_TIMEOUT.total_seconds():.0f} s") from error
        except stripe.InvalidRequestError as error:
            if (error.param or "").startswith("line_items"):
                raise PriceNotSoldError(f"Stripe does not sell {price_id}") from error
            raise
        except stripe.StripeError as error:
            raise as_away(error) from error

    async def _start(self, user: User, price_id: str, client_key: str) -> CheckoutPage:
        checkout, customer = await self._intend(user, price_id, client_key)
        if checkout.status == "expired" or datetime.now(UTC) - checkout.created_at > KEY_LIFETIME:
            # A session lives for 24 hours, and its key at Stripe as long.
            raise CheckoutExpiredError("this checkout has expired; start another one with a new client key")
        if checkout.session_id is not None and checkout.url is not None:
            return CheckoutPage(checkout.session_id, checkout.url)
        try:
            page = await self._open(checkout, customer, user)
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing" or error.param != "customer":
                raise
            await self._customers.retire(customer)
            checkout, customer = await self._intend(user, price_id, client_key)
            page = await self._open(checkout, customer, user)
        async with self._database.transaction() as session:
            opened = update(Checkout).where(Checkout.id == checkout.id)
            await session.execute(opened.values(session_id=page.session_id, url=page.url))
        return page

    async def _intend(self, user: User, price_id: str, client_key: str) -> tuple[Checkout, Customer]:
        """Returns the rows, committed before the call to Stripe."""
        async with self._database.transaction() as session:
            new = insert(Checkout).values(user_id=user.id, client_key=client_key, price_id=price_id)
            await session.execute(new.on_conflict_do_nothing(index_elements=[Checkout.user_id, Checkout.client_key]))
            checkout = await _checkout(session, user, client_key)
            customer = await self._customers.intend(session, user)
        if checkout.price_id != price_id:
            raise ClientKeyReusedError(f"this client key was used before, for {checkout.price_id}")
        return checkout, customer

    async def _open(self, checkout: Checkout, customer: Customer, user: User) -> CheckoutPage:
        customer_id = await self._customers.stripe_id(customer, user)
        opened = await self._opened_before(checkout, customer_id)
        if opened is None:
            async with idempotency_key(self._database, checkout) as key:
                opened = await self._stripe.v1.checkout.sessions.create_async(
                    self._params(checkout, customer_id, user), {"idempotency_key": key}
                )
        return CheckoutPage(opened.id, opened.url or "")

    async def _opened_before(self, checkout: Checkout, customer_id: str) -> stripe.checkout.Session | None:
        """Looks for the session if its key would no longer find it."""
        if not is_doubtful(checkout):
            return None
        found = await self._stripe.v1.checkout.sessions.list_async({"customer": customer_id, "limit": 100})
        return next((one for one in found.data if metadata_of(one).get(CHECKOUT_ID) == str(checkout.id)), None)

    def _params(self, checkout: Checkout, customer_id: str, user: User) -> SessionCreateParams:
        ours = {USER_ID: str(user.id), CHECKOUT_ID: str(checkout.id)}
        return {
            "mode": "subscription",
            "line_items": [{"price": checkout.price_id, "quantity": 1}],
            "customer": customer_id,
            "client_reference_id": str(user.id),  # for people who look at Stripe's dashboard; see USER_ID
            "metadata": ours,
            "subscription_data": {"metadata": ours},
            "success_url": self._success_url,
            "cancel_url": self._cancel_url,
        }


async def _checkout(session: AsyncSession, user: User, client_key: str) -> Checkout:
    mine = select(Checkout).where(Checkout.user_id == user.id, Checkout.client_key == client_key)
    return (await session.scalars(mine)).one()
