"""Everything that talks to Postgres: statements, connections, transactions, migrations."""
