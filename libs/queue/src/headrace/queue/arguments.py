"""Refuses what is of another type than it is declared to be. A type checker does, but not every caller has one.

Without it `timeout=30` ends in a comparison deep inside, or in Postgres, and neither says which argument was meant.
"""

from __future__ import annotations


def require_type(where: str, wanted: type, /, **given: object) -> None:
    """Makes sure that arguments are of a type.

    Args:
        where: What they are arguments of, for the error's text: "worker settings".
        wanted: The type.
        given: The arguments.

    Raises:
        TypeError: One isn't; True is no number here.
    """
    for name, value in given.items():
        if not is_instance(wanted, value):
            raise TypeError(f"{where}: {name} must be of type {wanted.__name__}, not {value!r}")


def is_instance(wanted: type, value: object) -> bool:
    """Whether a value is of a type; True is no number here."""
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
