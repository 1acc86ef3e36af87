"""Enqueues jobs: validation, idempotency keys, uniqueness, insert."""
