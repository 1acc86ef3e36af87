"""The handlers of process_mode.py, in a module that their processes can import."""

import os
from dataclasses import dataclass
from datetime import timedelta

from headrace.queue import Done, Headrace, RunningJob, job_kind

app = Headrace()


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


@app.handler(mode="process")
def factor(payload: Factor, job: RunningJob) -> Done:
    factors, number, candidate = [], payload.number, 2
    while number > 1:
        while number % candidate == 0:
            factors.append(candidate)
            number //= candidate
        candidate += 1
    return Done({"factors": factors, "parent": os.getppid()})


@app.handler(mode="process")
def spin(payload: Spin, job: RunningJob) -> None:
    while True:
        pass


@app.handler(mode="process", memory_limit=256 * 1024 * 1024)
def hoard(payload: Hoard, job: RunningJob) -> None:
    hoarded = []
    while True:
        hoarded.append(bytearray(1024 * 1024))
