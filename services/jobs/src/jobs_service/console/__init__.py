"""The console: pages over JobsService for operators.

It is a client like any other: it knows the contract and what reflection serves, and calls with the token of whoever is
logged in. So each operator sees and does what the callers file gives them, redacted fields are veiled by the service
itself, and every act stands in the audit under their name.
"""
