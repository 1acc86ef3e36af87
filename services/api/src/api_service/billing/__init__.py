"""Billing by Stripe: the webhook door and its inbox, what is applied to the books, and checkout.

Stripe is the truth and these tables are a copy of it: an event never carries state, it only says which
object to look at again. `webhook` takes events in, `worker_support` answers the workers that fetch, and
`apply` writes what they fetched.
"""
