"""Users as customers of Stripe: each is created there once.

A row with the call's idempotency key is written before the call to Stripe. So an interrupted call is continued and
leads to the same customer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import stripe
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.models import User
from api_service.billing.models import Checkout, Customer
from api_service.billing.stripe_api import is_kept, metadata_of
from api_service.billing.subscription import CUSTOMER_ID, USER_ID
from api_service.database import Database

KEY_LIFETIME = timedelta(hours=23)
"""How long an idempotency key is used; Stripe forgets it after 24 hours."""


class Customers:
    """Finds the customer of a user, and creates it if there is none."""

    def __init__(self, database: Database, client: stripe.StripeClient) -> None:
        self._database = database
        self._stripe = client

    async def intend(self, session: AsyncSession, user: User) -> Customer:
        """Returns the user's row, and writes it if there is none, in the caller's transaction."""
        in_use = Customer.retired_at.is_(None)
        new = insert(Customer).values(user_id=user.id)
        await session.execute(new.on_conflict_do_nothing(index_elements=[Customer.user_id], index_where=in_use))
        return (await session.scalars(select(Customer).where(Customer.user_id == user.id, in_use))).one()

    async def stripe_id(self, customer: Customer, user: User) -> str:
        """Returns Stripe's id of a customer whose row is committed.

        Raises:
            stripe.StripeError: The call failed; a retry continues with the same customer.
            DatabaseUnavailableError: The same.
        """
        if customer.stripe_id is not None:
            return customer.stripe_id
        stripe_id = await self._made_before(customer, user) or await self._make(customer, user)
        async with self._database.transaction() as session:
            known = update(Customer).where(Customer.id == customer.id, Customer.stripe_id.is_(None))
            await session.execute(known.values(stripe_id=stripe_id))
        return stripe_id

    async def retire(self, customer: Customer) -> None:
        """Records that Stripe no longer knows the customer. The user gets a new one, and the row stays."""
        async with self._database.transaction() as session:
            gone = update(Customer).where(Customer.id == customer.id, Customer.retired_at.is_(None))
            await session.execute(gone.values(retired_at=func.now()))

    async def _made_before(self, customer: Customer, user: User) -> str | None:
        """Looks for the customer if its key would no longer find it."""
        if not is_doubtful(customer):
            return None
        found = await self._stripe.v1.customers.list_async({"email": user.email, "limit": 100})
        mine = (one.id for one in found.data if metadata_of(one).get(CUSTOMER_ID) == str(customer.id))
        return next(mine, None)

    async def _make(self, customer: Customer, user: User) -> str:
        async with idempotency_key(self._database, customer) as key:
            made = await self._stripe.v1.customers.create_async(
                {"email": user.email, "metadata": {USER_ID: str(user.id), CUSTOMER_ID: str(customer.id)}},
                {"idempotency_key": key},
            )
        return made.id


def is_doubtful(intent: Customer | Checkout) -> bool:
    """Whether Stripe may have done what the intent asks for without its present key leading there."""
    return intent.attempt > 1 or datetime.now(UTC) - intent.created_at > KEY_LIFETIME


@asynccontextmanager
async def idempotency_key(database: Database, intent: Customer | Checkout) -> AsyncIterator[str]:
    """The key for the call in the block. Where Stripe keeps a failure under it, the intent's next call gets another."""
    try:
        yield f"{intent.__tablename__}:{intent.id}:{intent.attempt}"
    except stripe.StripeError as error:
        if is_kept(error):
            kind = type(intent)
            async with database.transaction() as session:
                spent = update(kind).where(kind.id == intent.id, kind.attempt == intent.attempt)
                await session.execute(spent.values(attempt=intent.attempt + 1))
        raise
