"""Statements, connections, transactions, migrations: how the engine speaks to Postgres."""
