"""The two databases and their roles: an owner that migrates, and a role for each program.

The api's roles can't connect to the jobs database, and the jobs roles can't connect to the api's. The migrations grant
what a role may do with the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from headrace.embedded_postgres import EmbeddedPostgres
from local_stack.stack.credentials import Credentials
from local_stack.stack.ports import HOST

# Each database, its owner, and the other roles that may connect to it.
DATABASES = (
    ("jobs", "jobs_owner", ("jobs_server", "jobs_worker", "jobs_reader")),
    ("api", "api_owner", ("api_server",)),
)

# Every role needs a password. Right after initdb none does, which allows setting the passwords.
HOST_BASED_AUTHENTICATION = f"host all all {HOST}/32 scram-sha-256\n"


@dataclass(frozen=True)
class Databases:
    """Connection strings for each role."""

    server: EmbeddedPostgres
    credentials: Credentials

    def dsn(self, role: str, database: str) -> str:
        """Returns the URL of a database for a role, with its password."""
        return f"postgresql://{role}:{self.credentials.passwords[role]}@{HOST}:{self.server.port}/{database}"

    def create(self) -> None:
        """Creates roles and databases in a new server, then requires passwords."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            for name, owner, roles in DATABASES:
                self._create(connection, name, owner, roles)
            connection.execute(_password("ALTER", "postgres", self.credentials))
            (self.server.data_dir / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)
            connection.execute("SELECT pg_reload_conf()")

    def _create(self, connection: psycopg.Connection, name: str, owner: str, roles: Sequence[str]) -> None:
        for role in (owner, *roles):
            connection.execute(_password("CREATE", role, self.credentials))
        names = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
        connection.execute(sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**names))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {name} FROM PUBLIC").format(**names))
        for role in roles:
            grant = sql.SQL("GRANT CONNECT ON DATABASE {name} TO {role}")
            connection.execute(grant.format(role=sql.Identifier(role), **names))


def _password(verb: str, role: str, credentials: Credentials) -> sql.Composed:
    statement = verb + " ROLE {role} LOGIN PASSWORD {password}"
    return sql.SQL(statement).format(role=sql.Identifier(role), password=sql.Literal(credentials.passwords[role]))
