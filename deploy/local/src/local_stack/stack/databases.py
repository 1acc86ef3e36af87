"""The two databases and their roles: an owner that migrates, and for each program a role that it logs in as.

The api's roles can't connect to the jobs database, nor the other way round. What a role may do with the tables is
granted by the migrations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from headrace.embedded_postgres import EmbeddedPostgres
from local_stack.stack.credentials import Credentials
from local_stack.stack.ports import HOST

# Each database, its owner, and the roles that may connect to it beside the owner.
DATABASES = (
    ("jobs", "jobs_owner", ("jobs_server", "jobs_worker", "jobs_reader")),
    ("api", "api_owner", ("api_server",)),
)

# Everyone needs a password. Nobody does right after initdb, which is how the passwords get in.
HOST_BASED_AUTHENTICATION = f"host all all {HOST}/32 scram-sha-256\n"


@dataclass(frozen=True)
class Databases:
    """How each role reaches its database."""

    server: EmbeddedPostgres
    credentials: Credentials

    def dsn(self, role: str, database: str) -> str:
        """The URL of a database for a role, with its password."""
        return f"postgresql://{role}:{self.credentials.passwords[role]}@{HOST}:{self.server.port}/{database}"

    def create(self) -> None:
        """Makes roles and databases in a fresh server, then asks everyone for a password."""
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
