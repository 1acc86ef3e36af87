"""Mails: what is to be sent, what it says, and who may send it now."""
