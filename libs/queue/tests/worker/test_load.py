"""What workers say of themselves with their beats."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import RunningJob
from headrace.queue.worker.load import MEMORY, LoadMeter, Rate


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Numbers:
    """A worker's own numbers."""

    def __init__(self) -> None:
        self.queues = ("email", "reports")
        self.running = 0
        self.ends: dict[str, int] = {}

    def running_in(self, queue: str) -> int:  # noqa: ARG002
        return self.running

    def ended(self, queue: str) -> int:
        return self.ends.get(queue, 0)

    def room(self, queue: str) -> int:  # noqa: ARG002
        return 10 - self.running


def test_a_rate_is_right_from_the_first_second_on() -> None:
    rate = Rate()
    assert rate.per_second == 0
    rate.observe(50, 1.0)
    assert rate.per_second == pytest.approx(50)
    for _ in range(600):
        rate.observe(50, 1.0)
    assert rate.per_second == pytest.approx(50)


def test_a_rate_follows_within_about_a_minute() -> None:
    rate = Rate()
    for _ in range(600):
        rate.observe(100, 1.0)
    for _ in range(int(MEMORY)):
        rate.observe(0, 1.0)
    assert 30 < rate.per_second < 40, "about a third is left"
    for _ in range(int(MEMORY) * 9):
        rate.observe(0, 1.0)
    assert rate.per_second < 0.01


def test_a_late_look_counts_for_as_long_as_it_was() -> None:
    often, once = Rate(), Rate()
    for _ in range(30):
        often.observe(10, 1.0)
    once.observe(300, 30.0)
    assert often.per_second == pytest.approx(once.per_second)


def test_a_count_that_was_ahead_for_a_moment_is_made_good() -> None:
    rate = Rate()
    rate.observe(500, 1.0)
    rate.observe(-500, 1.0)
    assert rate.per_second == pytest.approx(0, abs=5)
    assert rate.per_second >= 0


def test_vitals_say_what_ends_per_second_in_each_queue() -> None:
    clock, numbers = Clock(), Numbers()
    vitals = LoadMeter(numbers, clock)
    clock.now += 2
    numbers.ends["email"] = 7
    numbers.running = 4
    signs = vitals.read()
    assert json.loads(signs["rates"]) == {"email": 3.5}
    assert json.loads(signs["free"]) == {"email": 6, "reports": 6}
    assert signs["running"] == 4


def test_a_burst_after_a_rest_has_its_own_rate_at_once() -> None:
    clock, numbers = Clock(), Numbers()
    vitals = LoadMeter(numbers, clock)

    def rate_after(jobs: int) -> float:
        clock.now += 1
        numbers.ends["email"] = numbers.ended("email") + jobs
        return float(json.loads(vitals.read()["rates"]).get("email", 0))

    for _ in range(3600):
        assert rate_after(0) == 0
    assert [rate_after(200) for _ in range(5)] == [200] * 5
    assert rate_after(0) < 200, "a rest of a second is none: it counts"
    for _ in range(3):
        rate_after(0)
    assert rate_after(200) < 200
    for _ in range(600):
        rate_after(0)
    assert rate_after(10) == 10


async def test_a_worker_publishes_its_slots_its_load_and_its_rates(
    installation: Installation, eventually: Eventually
) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        if message.name == "hold":
            await gate.wait()

    handlers = installation.handlers(Greet=greet, Count=greet)
    worker = installation.worker(handlers, slots=5, queue_slots={"greetings": 2, "numbers": 0})
    async with installation.working(worker):
        for _ in range(20):
            await installation.enqueue(TestKinds.Greet())
        await installation.enqueue(TestKinds.Greet(name="hold"))

        async def published() -> bool:
            query = "select queues, slots, enabled, running, free, rates from headrace.workers"
            [(queues, slots, enabled, running, free, rates)] = await installation.execute(query)
            assert (queues, slots, enabled) == (["greetings"], 5, True), "a queue without slots is not served"
            return bool(running == 1 and free == {"greetings": 1, "numbers": 0} and rates.get("greetings"))

        await eventually(published)
        gate.set()


async def test_an_idle_worker_says_that_it_is_idle(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        """Never called."""

    async with installation.working(installation.worker(installation.handlers(Greet=greet), enabled=False)):
        await eventually(lambda: installation.execute("select from headrace.workers where not enabled and slots = 10"))
