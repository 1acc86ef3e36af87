"""Assembles the service from its parts."""
