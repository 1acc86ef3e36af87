"""Emails: which are to be sent, their content, and which job may send them now."""
