"""Changes jobs and queues on behalf of an operator: cancel, retry, delete, pause, limit; and logs these changes."""
