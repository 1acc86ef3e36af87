"""What is printed: the report of the journey, and where to look."""
