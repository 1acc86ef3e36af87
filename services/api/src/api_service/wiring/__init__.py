"""Puts the service together out of its parts."""
