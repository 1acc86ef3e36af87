"""Enqueues for callers: reads requests, limits queues' depths, and groups calls into transactions."""
