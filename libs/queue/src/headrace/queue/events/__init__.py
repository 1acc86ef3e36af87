"""What happens to jobs, published as it happens, and listeners to it."""
