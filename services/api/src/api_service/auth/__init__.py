"""Accounts: registration, email verification, login, password reset."""
