"""Runs the handlers of claimed jobs, each within its timeout, to a result."""
