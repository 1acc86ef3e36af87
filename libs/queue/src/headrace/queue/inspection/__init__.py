"""Reads jobs, queues and workers, and explains why a job is not running."""
