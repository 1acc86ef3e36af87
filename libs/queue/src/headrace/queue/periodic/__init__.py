"""Jobs that are enqueued on a schedule."""
