"""What a kind of job is: its options, its payload's codec, and what changes between releases mean."""
