"""Enqueue and EnqueueBatch: requests are read, grouped into transactions, and rejected over a queue's depth limit."""
