"""Publishes what happens to jobs, as it happens, and listens for it."""
