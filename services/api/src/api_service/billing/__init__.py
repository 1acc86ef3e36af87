"""Billing with Stripe: the webhook and its inbox, applying events, and checkout.

Stripe is the source of truth, and these tables are a copy. An event's own state is never used: it only says which
object to fetch again. `webhook` receives events, `worker_calls` serves the workers that fetch objects, and
`event_applier` writes what they fetched.
"""
