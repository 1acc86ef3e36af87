"""Imports what a setting names: a module, "shop.kinds_pb2", or an object in one, "shop.jobs:app"."""

from importlib import import_module
from typing import Any

from jobs_service.settings import reject_setting


def import_reference(variable: str, reference: str) -> Any:
    """Imports a module or an object; ends the program with exit code 2 if it isn't there.

    Args:
        variable: The setting, for the error message.
        reference: "package.module", or "package.module:name" for an object at the top level of the module.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            hint = "install the package that has it, or add its folder to PYTHONPATH"
            reject_setting(variable, f"there is no module {error.name!r} (from {reference!r}): {hint}")
        reject_setting(variable, f"importing {module_name} failed: {error}: install the missing package")
    except ValueError:  # importlib's for an empty name, and for ".kinds"
        reject_setting(variable, f'expected "package.module" or "package.module:name"; got {reference!r}')
    if not name:
        return module
    try:
        return getattr(module, name)
    except AttributeError:
        reject_setting(
            variable, f"the module {module_name} has no {name!r}: define it at the module's top level, or fix the name"
        )
