"""Takes available jobs from the table and hands them to execution."""
