"""Certificates, and files that are reloaded when they change."""
