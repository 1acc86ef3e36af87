"""The Postgres server that all tests of a run share."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


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
