"""Clients of systems that are not ours: the SMTP server and Stripe."""
