"""The kinds of jobs there are: those of saas/jobs/v1/kinds.proto, under this deployment's settings.

Server and worker build them from the same settings, so that both mean the same by a kind.
"""

import sys

from headrace.chassis.settings import USAGE_ERROR
from headrace.queue import Defaults, KindOverride, Kinds
from jobs_service.settings import JobsSettings
from saas.jobs.v1 import kinds_pb2


def build_kinds(settings: JobsSettings) -> Kinds:
    """Builds the kinds; ends the program with exit code 2 when JOBS_KIND_OVERRIDES names one that there isn't."""
    defaults = Defaults(max_retries=settings.jobs_max_retries, timeout=settings.jobs_timeout)
    known = Kinds.of_file(kinds_pb2.DESCRIPTOR, defaults=defaults).all_names
    unknown = sorted(settings.jobs_kind_overrides.keys() - set(known))
    if unknown:
        print(
            f"JOBS_KIND_OVERRIDES: {', '.join(unknown)}: no such kind; there are {', '.join(sorted(known))}",
            file=sys.stderr,
        )
        raise SystemExit(USAGE_ERROR)
    overrides = {
        name: KindOverride(
            queue=override.queue,
            max_retries=override.max_retries,
            timeout=override.timeout,
            priority=override.priority,
        )
        for name, override in settings.jobs_kind_overrides.items()
    }
    return Kinds.of_file(kinds_pb2.DESCRIPTOR, defaults=defaults, overrides=overrides)
