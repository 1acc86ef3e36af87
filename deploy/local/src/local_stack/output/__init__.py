"""The printed output: the report of the journey, and the addresses."""
