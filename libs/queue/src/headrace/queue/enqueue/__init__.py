"""Puts jobs into the table: validation, idempotency, uniqueness, the insert."""
