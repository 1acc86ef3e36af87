"""The embedded Postgres keeps what was committed and goes away with its owner."""

import psycopg

from headrace.embedded_postgres import EmbeddedPostgres


def test_committed_rows_survive_a_crash_of_the_server() -> None:
    with EmbeddedPostgres() as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("create table kept (n int)")
            connection.execute("insert into kept values (7)")
        server.stop("immediate")
        server.start()
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("select n from kept").fetchall() == [(7,)]


def test_two_servers_run_side_by_side() -> None:
    with EmbeddedPostgres() as one, EmbeddedPostgres() as other:
        assert one.port != other.port
        for server in (one, other):
            with psycopg.connect(server.dsn()) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
