"""`make chaos FAULTS=n SEED=n`. The last line is the verdict; the exit code is 0 if everything held."""

from __future__ import annotations

import argparse
import os
import random
import sys


def main() -> None:
    """Runs once."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=40, help="how many (default: 40)")
    parser.add_argument("--seed", type=int, default=None, help="decides which; the default is a new one each time")
    parser.add_argument("--only", default="", help="only faults with this in their names")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(2**31)
    # gRPC's own handlers would abort the fork from which Postgres is started again. To be said before gRPC is loaded.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    from tests.chaos.run import run  # noqa: PLC0415

    sys.exit(0 if run(given.faults, seed, given.only) else 1)


if __name__ == "__main__":
    main()
