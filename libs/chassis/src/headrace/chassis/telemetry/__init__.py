"""Logs and traces, redacted."""
