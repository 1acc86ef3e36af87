"""The journey through the running system, step by step."""
