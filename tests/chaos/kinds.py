"""The harness's own kinds of jobs: one for each way in which an outcome reaches the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headrace.queue import Kinds, job_kind

QUEUE = "chaos"
PATIENT = 200
"""Retries: what a fault does to an attempt must never use a job up."""


@dataclass(frozen=True)
class Work:
    """What every kind carries.

    Attributes:
        token: Names the enqueue in the harness's ledger.
        seconds: How long an attempt takes.
        stumbles: How many attempts fail on purpose.
    """

    token: str
    seconds: float
    stumbles: int


@job_kind("chaos.Effect", queue=QUEUE, max_retries=PATIENT, timeout=timedelta(seconds=30))
@dataclass(frozen=True)
class Effect(Work):
    """Completed in the transaction of its effect, by a plain function, which no cancellation can stop."""


@job_kind("chaos.Plain", queue=QUEUE, max_retries=PATIENT, timeout=timedelta(seconds=30))
@dataclass(frozen=True)
class Plain(Work):
    """Completed by the completer, in a batch."""


@job_kind("chaos.Told", queue=QUEUE, max_retries=PATIENT, timeout=timedelta(seconds=30))
@dataclass(frozen=True)
class Told(Work):
    """Settled by the completer with an output: the lease that the attempt ran under."""


KINDS = Kinds([Effect, Plain, Told])
