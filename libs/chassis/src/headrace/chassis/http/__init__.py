"""An HTTP server, bounded bodies, and pages."""
