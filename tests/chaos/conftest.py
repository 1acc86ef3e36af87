"""Lets the tests import the harness, which is run as `python -m tests.chaos` from the root."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
