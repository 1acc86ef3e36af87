"""The job engine of Headrace."""
