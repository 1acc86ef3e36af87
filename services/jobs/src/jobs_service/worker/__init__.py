"""The worker's program."""
