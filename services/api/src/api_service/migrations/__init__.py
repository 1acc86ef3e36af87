"""The schema of the api's database, step by step. Run by `api-migrate`."""
