"""The whole system on one machine: each program as a process, an embedded Postgres, and the journey through it.

``make run`` and the end-to-end tests use it. It uses the services by their programs and settings only.
"""
