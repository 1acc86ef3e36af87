"""The Postgres server that all tests of a run share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg


class PostgresServer:
    """The run's Postgres server.

    Args:
        url: A superuser's URL of it.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def dsn(self, dbname: str = "postgres", user: str | None = None) -> str:
        """Returns the URL of one of its databases."""
        host = self._url.netloc.rpartition("@")[2]
        netloc = f"{user}@{host}" if user else self._url.netloc
        return urlunsplit(self._url._replace(netloc=netloc, path=f"/{dbname}"))

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Creates a database for the length of a block, and yields its name.

        Args:
            template: The database that it is a copy of. No connection to that one may be open.
        """
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.dsn(), autocommit=True) as admin:
            admin.execute(f"create database {name} template {template}")
            yield name
            admin.execute(f"drop database {name} with (force)")
