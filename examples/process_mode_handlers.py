"""The handlers of process_mode.py: a process of its own imports them, so they stand in a module."""

import os
from dataclasses import dataclass
from datetime import timedelta

from headrace.queue import Done, RunningJob, job_kind


@job_kind("maths.Factor")
@dataclass
class Factor:
    number: int


@job_kind("maths.Spin", timeout=timedelta(milliseconds=500), max_retries=0)
@dataclass
class Spin:
    pass


@job_kind("maths.Hoard", max_retries=0)
@dataclass
class Hoard:
    pass


def factor(message: Factor, job: RunningJob) -> Done:
    factors, number, candidate = [], message.number, 2
    while number > 1:
        while number % candidate == 0:
            factors.append(candidate)
            number //= candidate
        candidate += 1
    return Done({"factors": factors, "parent": os.getppid()})


def spin(message: Spin, job: RunningJob) -> None:
    while True:
        pass


def hoard(message: Hoard, job: RunningJob) -> None:
    hoarded = []
    while True:
        hoarded.append(bytearray(1024 * 1024))
