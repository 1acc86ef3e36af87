"""A mail server that delivers nothing: it keeps every mail it is given and shows it on a page.

For the local stack and for tests. It takes any recipient, without TLS or a login, and must therefore listen on
loopback only. A switch holds its answers back, so that a sender can be killed in the middle of a mail.
"""
