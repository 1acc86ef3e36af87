"""Rejects arguments of the wrong type, for callers who don't use a type checker.

Otherwise `timeout=30` would fail in a comparison deep inside, or in Postgres, without the argument's name.
"""

from __future__ import annotations


def require_type(where: str, wanted: type, /, **given: object) -> None:
    """Requires that arguments are of a type.

    Args:
        where: What they are arguments of, for errors: "worker settings".
        wanted: The type.
        given: The arguments.

    Raises:
        TypeError: One is not. True does not count as an int.
    """
    for name, value in given.items():
        if not is_instance(wanted, value):
            raise TypeError(f"{where}: {name} must be of type {wanted.__name__}, not {value!r}")


def is_instance(wanted: type, value: object) -> bool:
    """Returns whether a value is of a type. True does not count as an int."""
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
