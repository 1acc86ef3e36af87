"""A stand-in for Stripe: the part of its API that Headrace uses, kept in memory.

A test double, for the tests and for the local stack's demo mode. It keeps Stripe's documented rules where a client
can be hurt by them (idempotency keys, paging, errors, late and repeated webhooks) and can be told to fail. Every
response has the shape of the API version that the installed `stripe` package is pinned to.
"""
