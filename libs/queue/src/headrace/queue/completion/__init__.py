"""Writes what attempts came to, and watches the transactions that handlers complete jobs in."""
