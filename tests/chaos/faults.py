"""The faults: what is done to the system, for how long, and how it is healed.

A fault is a context manager: entering it does the harm, leaving it heals. The seed decides which come in which order,
to whom, for how long, and with what pauses; they overlap. All from one thread: Linux ends Postgres with the thread that
started it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from local_stack.stack.system import System

POSTGRES = "postgres"
PAUSES = (0.3, 3.5)
"""Seconds between the beginnings of two faults."""
BRIEFLY = (0.3, 3.0)
BEYOND_THE_LEASE = (8.5, 12.0)
"""Seconds after which a stopped worker has been declared dead, and its jobs have begun again elsewhere."""


class NotNowError(Exception):
    """A fault can't be done at this moment."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: For people.
        targets: Whom it may befall; each at most one fault at a time.
        seconds: How long it may last, from and to.
        harm: Does it and, when left, heals it.
        weight: How often it comes in one deck.
        needs_postgres: Whether it is done through Postgres.
        spares_one: Whether one of the targets has to be left to take over.
    """

    name: str
    targets: Sequence[str]
    seconds: tuple[float, float]
    harm: Callable[[System, str, random.Random], AbstractContextManager[None]]
    weight: int = 1
    needs_postgres: bool = False
    spares_one: bool = False


@contextmanager
def kill(system: System, name: str, _: random.Random) -> Iterator[None]:
    """SIGKILL; a new process afterwards."""
    if not system.part(name).running:
        raise NotNowError
    system.kill(name)
    yield
    system.part(name).start()


@contextmanager
def freeze(system: System, name: str, _: random.Random) -> Iterator[None]:
    """SIGSTOP; SIGCONT afterwards."""
    if not system.part(name).running:  # it has ended by itself, which healing tells of
        raise NotNowError
    system.signal(name, signal.SIGSTOP)
    yield
    with contextlib.suppress(ProcessLookupError):
        system.signal(name, signal.SIGCONT)


@contextmanager
def crash_postgres(system: System, _name: str, _: random.Random) -> Iterator[None]:
    """An immediate stop, as by a power cut; recovery from the log afterwards."""
    system.stop_postgres()
    yield
    system.start_postgres()


@contextmanager
def cut_connections(system: System, _name: str, rng: random.Random) -> Iterator[None]:
    """pg_terminate_backend of a random share of all sessions."""
    with _session(system, "jobs") as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid() and random() < %s",
            (rng.uniform(0.3, 1.0),),
        )
    yield


@contextmanager
def lock_jobs(system: System, _name: str, _: random.Random) -> Iterator[None]:
    """The strongest lock on the jobs table, as a careless migration takes it."""
    with _session(system, "jobs") as connection:
        connection.execute("set lock_timeout = '2s'; begin; lock table headrace.jobs in access exclusive mode")
        yield


@contextmanager
def hold_back_vacuum(system: System, name: str, _: random.Random) -> Iterator[None]:
    """A long snapshot in the jobs database, by a reader or, with a transaction id, by a writer."""
    with _session(system, "jobs") as connection:
        # Never behind our own lock on the table, which this same thread would have to give up.
        connection.execute("set lock_timeout = '2s'")
        connection.execute("begin isolation level repeatable read; select count(*) from headrace.jobs")
        if name == "a long writer":
            connection.execute("select pg_current_xact_id()")
        yield


@contextmanager
def _session(system: System, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's session; that it is lost to another fault meanwhile is no error."""
    dsn = system.plan.databases.dsn(POSTGRES, database)
    try:
        connection = psycopg.connect(dsn, autocommit=True, connect_timeout=3)
    except psycopg.Error as error:
        raise NotNowError(str(error)) from None
    try:
        yield connection
    except psycopg.Error as error:
        raise NotNowError(str(error)) from None
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


def catalogue(workers: Sequence[str], own_workers: Sequence[str]) -> list[Fault]:
    """Every kind of fault, for these workers of the product and of the harness."""
    return [
        Fault("kill a worker", workers, BRIEFLY, kill, weight=3),
        Fault("kill a transactional worker", own_workers, BRIEFLY, kill, weight=3),
        Fault("stop a worker briefly", (*workers, *own_workers), BRIEFLY, freeze),
        Fault("stop a worker beyond its lease", workers, BEYOND_THE_LEASE, freeze, weight=2, spares_one=True),
        Fault(
            "stop a transactional worker beyond its lease",
            own_workers,
            BEYOND_THE_LEASE,
            freeze,
            weight=3,
            spares_one=True,
        ),
        Fault("kill the jobs service", ["jobs-server"], BRIEFLY, kill),
        Fault("stop the jobs service", ["jobs-server"], BRIEFLY, freeze),
        Fault("kill the api with its relay", ["api"], BRIEFLY, kill, weight=2),
        Fault("stop the api with its relay", ["api"], BRIEFLY, freeze),
        Fault("crash Postgres", [POSTGRES], (0.0, 5.0), crash_postgres, weight=2),
        Fault("cut connections", ["connections"], (0.0, 0.0), cut_connections, weight=2, needs_postgres=True),
        Fault("lock the jobs table", ["the jobs table"], (1.0, 5.0), lock_jobs, needs_postgres=True),
        Fault(
            "hold back vacuum",
            ["a long reader", "a long writer"],
            (5.0, 20.0),
            hold_back_vacuum,
            2,
            needs_postgres=True,
        ),
    ]


@dataclass(frozen=True, order=True)
class _Ending:
    at: float
    number: int
    target: str
    stack: ExitStack


class Injector:
    """Does the faults.

    Args:
        system: The system.
        faults: The kinds that there are.
        rng: Decides.
        say: Called with a line for each.

    Attributes:
        done: How many of each kind were done.
    """

    def __init__(self, system: System, faults: Sequence[Fault], rng: random.Random, say: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self._system = system
        self._faults = faults
        self._rng = rng
        self._say = say
        self._deck: list[Fault] = []
        self._endings: list[_Ending] = []
        self._befallen: set[str] = set()
        self._numbers = itertools.count(1)

    def run(self, count: int) -> None:
        """Does so many faults, and returns when the last is healed."""
        try:
            while self.done.total() < count:
                if not self._one():
                    self._wait_until(self._endings[0].at if self._endings else time.monotonic() + 0.5)
                self._wait_until(time.monotonic() + self._rng.uniform(*PAUSES))
            while self._endings:
                self._wait_until(self._endings[0].at)
        finally:
            while self._endings:
                self._heal_next()

    def _one(self) -> bool:
        """Does the first fault of the deck that is possible now; returns whether there was one."""
        if not self._deck:
            self._deck = [fault for fault in self._faults for _ in range(fault.weight)]
            self._rng.shuffle(self._deck)
        for place, fault in enumerate(self._deck):
            free = [target for target in fault.targets if target not in self._befallen]
            if len(free) <= fault.spares_one or (fault.needs_postgres and POSTGRES in self._befallen):
                continue
            target, seconds = self._rng.choice(free), self._rng.uniform(*fault.seconds)
            stack = ExitStack()
            try:
                stack.enter_context(fault.harm(self._system, target, self._rng))
            except NotNowError:
                continue
            del self._deck[place]
            self.done[fault.name] += 1
            self._befallen.add(target)
            number = next(self._numbers)
            heapq.heappush(self._endings, _Ending(time.monotonic() + seconds, number, target, stack))
            self._say(f"fault {number}: {fault.name} ({target}, {seconds:.1f} s)")
            return True
        return False

    def _wait_until(self, moment: float) -> None:
        while self._endings and self._endings[0].at <= moment:
            time.sleep(max(0.0, self._endings[0].at - time.monotonic()))
            self._heal_next()
        time.sleep(max(0.0, moment - time.monotonic()))

    def _heal_next(self) -> None:
        ending = heapq.heappop(self._endings)
        with contextlib.suppress(NotNowError):
            ending.stack.close()
        self._befallen.discard(ending.target)
