"""A program that imports what is not installed."""

import nowhere_to_be_found  # type: ignore[import-not-found]  # noqa: F401
