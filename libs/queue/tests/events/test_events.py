"""What happens to jobs can be heard: by subscribers of the worker at once, by other processes in batches."""

from __future__ import annotations

from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from hypothesis import given
from hypothesis import strategies as st
from installation import Installation

from headrace.queue import (
    Cancel,
    Discard,
    Enqueued,
    Event,
    EventListener,
    EventsMissed,
    EventType,
    NewJob,
    RunningJob,
    Snooze,
)
from headrace.queue.events import publisher
from headrace.queue.events.event import decode_events, encode_events

EXPECTED = {
    "complete": [EventType.COMPLETED],
    "cancel": [EventType.CANCELLED],
    "discard": [EventType.DISCARDED],
    "snooze": [EventType.SNOOZED, EventType.COMPLETED],
    "retry": [EventType.FAILED, EventType.COMPLETED],
}


async def greet(message: Any, job: RunningJob) -> Any:
    """Does as its message says, the first time."""
    match message.name:
        case "cancel":
            return Cancel("as told")
        case "discard":
            return Discard("as told")
        case "snooze" if job.lease == 1:
            return Snooze(publisher.INTERVAL)
        case "retry" if job.lease == 1:
            raise RuntimeError("as told")
    return None


async def test_subscribers_hear_of_each_outcome_once_it_is_committed(
    installation: Installation, eventually: Eventually
) -> None:
    ids = {name: await installation.enqueue(TestKinds.Greet(name=name)) for name in EXPECTED}
    heard: list[Event] = []

    async def all_heard() -> bool:
        return len(heard) == sum(map(len, EXPECTED.values()))

    worker = installation.worker(installation.handlers(Greet=greet))
    worker.subscribe(heard.append)
    async with installation.working(worker):
        await eventually(all_heard)
    for name, job_id in ids.items():
        assert [event.what for event in heard if event.job_id == job_id] == EXPECTED[name]
    assert {(event.kind, event.queue) for event in heard} == {("headrace.test.v1.Greet", "greetings")}


async def test_a_subscriber_that_raises_or_has_ended_disturbs_no_other(
    installation: Installation, eventually: Eventually
) -> None:
    heard: list[Event] = []
    ended: list[Event] = []

    def bad(event: Event) -> None:
        raise RuntimeError("a bad subscriber")

    worker = installation.worker(installation.handlers(Greet=greet))
    worker.subscribe(bad)
    worker.subscribe(ended.append)()
    worker.subscribe(heard.append)
    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(worker):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert [event.job_id for event in heard] == [job_id]
    assert ended == []


async def test_other_processes_hear_everything_from_the_moment_they_listen(installation: Installation) -> None:
    async with (
        installation.working(installation.worker(installation.handlers(Greet=greet), slots=100)),
        EventListener(installation.dsn).listen() as events,
    ):
        async with await installation.connect() as connection:
            accepted = await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())] * 1000)
        left = {job.job_id for job in accepted if isinstance(job, Enqueued)}
        async for event in events:
            assert isinstance(event, Event)
            assert event.what is EventType.COMPLETED
            left.discard(event.job_id)
            if not left:
                break


async def test_a_lost_connection_is_said_and_mended(installation: Installation) -> None:
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headrace events'"
    async with (
        installation.working(installation.worker(installation.handlers(Greet=greet))),
        EventListener(installation.dsn).listen() as events,
    ):
        await installation.execute(f"{kill} and datname = current_database()")
        assert await anext(events) == EventsMissed("the connection was lost")
        job_id = await installation.enqueue(TestKinds.Greet())
        event = await anext(events)
    assert isinstance(event, Event)
    assert (event.what, event.job_id) == (EventType.COMPLETED, job_id)


async def test_what_is_too_much_to_tell_is_told_as_a_number(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MOST", 1)
    heard = 0
    async with EventListener(installation.dsn).listen() as events:
        async with await installation.connect() as connection:
            await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())] * 100)
        async with installation.working(installation.worker(installation.handlers(Greet=greet), slots=100)):
            async for event in events:
                heard += event.events or 0 if isinstance(event, EventsMissed) else 1
                if heard == 100:
                    break


async def test_no_event_is_sent_without_a_subscriber(installation: Installation, eventually: Eventually) -> None:
    async with await installation.connect() as ear:
        await ear.execute("listen headrace_events")  # without the announcement that Events makes
        async with installation.working(installation.worker(installation.handlers(Greet=greet))):
            job_id = await installation.enqueue(TestKinds.Greet())
            await eventually(lambda: installation.is_in(job_id, "completed"))
        assert [n async for n in ear.notifies(timeout=0)] == []


@given(
    st.lists(
        st.builds(
            Event,
            st.sampled_from(EventType),
            st.integers(1, 2**63 - 1),
            st.text(max_size=60),
            st.text(max_size=60),
            st.integers(1, 1000),
            st.just("host:1"),
        ),
        max_size=40,
    ),
    st.integers(0, 10),
)
def test_events_survive_packing_into_bounded_texts(events: list[Event], missed: int) -> None:
    texts = encode_events("host:1", events, missed, longest=2_000)
    assert all(len(text.encode()) <= 2_000 for text in texts)
    told = [event for text in texts for event in decode_events(text)]
    assert [event for event in told if isinstance(event, Event)] == events
    assert sum(event.events or 0 for event in told if isinstance(event, EventsMissed)) == missed
