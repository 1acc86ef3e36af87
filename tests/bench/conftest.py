"""Lets the tests import the benchmarks, which are run as `python -m bench` from the root."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
