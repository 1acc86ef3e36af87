"""Accounts: registering, confirming an address, logging in, choosing a new password."""
