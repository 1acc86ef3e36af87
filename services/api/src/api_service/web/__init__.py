"""The HTTP listener: pages behind links in emails, probes, and other packages' endpoints."""
