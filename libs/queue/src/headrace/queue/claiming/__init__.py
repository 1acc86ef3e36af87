"""Claims available jobs from the database and hands them to the executor."""
