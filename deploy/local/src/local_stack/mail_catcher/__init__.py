"""A mail server that delivers nothing: it keeps every email it gets and shows it on a page.

For the local stack and for tests. It accepts any recipient, without TLS or a login, and must therefore listen only on
loopback. It can delay its replies, so that a sender can be killed while it sends an email.
"""
