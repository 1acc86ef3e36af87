"""What an operator changes: jobs, queues, pauses, limits, bulk acts, and the log of those changes."""
