"""Enqueues jobs on a schedule."""
