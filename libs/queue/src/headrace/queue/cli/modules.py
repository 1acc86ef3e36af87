"""Imports what a command is given by name: a module, or an object in one, such as `shop.jobs:app`."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from headrace.queue.errors import QueueError


class ObjectNotFoundError(QueueError):
    """A module or an object in it can't be found, or is not what the command needs."""


def import_object(name: str) -> tuple[ModuleType, Any]:
    """Returns a module and the object in it that `module:object` names; the module twice without an object.

    Modules are found as by `python -m`: in the current folder, too.

    Raises:
        ObjectNotFoundError: There is no such module or object, or the module imports one that is not there.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    module_name, _, object_name = name.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if f"{module_name}.".startswith(f"{missing}."):
            raise ObjectNotFoundError(f"there is no module {missing} here or among the installed ones") from None
        raise ObjectNotFoundError(f"{module_name} imports the module {missing}, which is not installed") from None
    found: Any = module
    for attribute in filter(None, object_name.split(".")):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ObjectNotFoundError(f"{module_name} has no {object_name}") from None
    return module, found
