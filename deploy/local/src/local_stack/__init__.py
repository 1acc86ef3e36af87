"""The whole system on one machine: every part a process of its own, on embedded parts, and the journey that drives it.

``make run`` and the end-to-end tests stand on it. It knows the services by their programs and settings only.
"""
