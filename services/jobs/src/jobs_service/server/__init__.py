"""The jobs server's program."""
