"""Imports every module of the packages that it is given, so that a dependency that isn't declared is missed."""

import importlib
import pkgutil
import sys

for package in sys.argv[1:]:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
