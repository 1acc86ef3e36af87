"""A worker: its settings, its loops, its heartbeat, its start and its drain."""
