"""A real PgBouncer in transaction mode, in front of the run's Postgres."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from headrace.embedded_postgres import as_server_user, free_port

# Few, so that one client's statements are spread over sessions that other clients have used.
POOL_SIZE = 12
CONFIG = """
[databases]
* = host={host} port={port} user=postgres{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
admin_users = postgres
ignore_startup_parameters = options
pool_mode = transaction
server_round_robin = 1
default_pool_size = {pool_size}
max_client_conn = 500
"""


class PgBouncer:
    """A PgBouncer as a child process. Any database of the server can be reached through it.

    Args:
        server: The URL of the Postgres server, with the password of its user postgres where it asks for one.
    """

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-pgbouncer-"))
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        """The URL of a database, given by its direct one."""
        parts = urlsplit(database)
        return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{self._port}"))

    def __enter__(self) -> Self:
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            CONFIG.format(
                host=self._server.hostname,
                port=self._server.port or 5432,
                password=f" password={self._server.password}" if self._server.password else "",
                own_port=self._port,
                pool_size=POOL_SIZE,
            )
        )
        self._folder.chmod(0o755)
        program = program_file()
        assert program is not None
        with (self._folder / "log").open("wb") as log:
            # It refuses to run as root, as Postgres does.
            self._process = subprocess.Popen(as_server_user([program, str(config)]), stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self._accepts():
            said = (self._folder / "log").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def program_file() -> str | None:
    """Where PgBouncer is installed, if it is."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
