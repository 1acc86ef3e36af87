"""Runs a claimed job's handler within its timeout, to a result."""
