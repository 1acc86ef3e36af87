"""Writes the results of attempts, and watches the transactions in which handlers complete their own jobs."""
