"""Reasons in words: what holds, since when, and what would change it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import singledispatch

from headrace.queue.inspection.reasons import (
    Behind,
    Duplicate,
    Finished,
    Hung,
    JobsDisabled,
    KindNotKnown,
    Next,
    NotEnqueued,
    Paused,
    Pending,
    Quarantined,
    QueueFull,
    QueueUnserved,
    Reason,
    Running,
    Scheduled,
    VersionNotKnown,
    WaitsForRetry,
)

# A heartbeat comes every second: a longer silence than this is worth mentioning.
NOTABLE_SILENCE = timedelta(seconds=3)
UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)


@singledispatch
def reason_text(reason: Reason, now: datetime) -> str:
    """Returns a reason in a sentence or two, with only the type of an error: its message may quote a payload."""
    raise TypeError(f"{reason!r} at {now} is not a reason")


@reason_text.register
def _(reason: Finished, now: datetime) -> str:
    error = reason.last_error
    last = f" Its last failed attempt ended with {error.type}." if error else ""
    return f"It was {reason.state} {_ago(reason.finished_at, now)}.{last}"


@reason_text.register
def _(reason: Quarantined, now: datetime) -> str:
    error = reason.error
    deaths = f"{_count(reason.deaths, 'worker')} died while running it"
    why = f"its attempt ended with {error.type}" if error and error.type != "worker_lost" else deaths
    return (
        f"It was quarantined {_ago(reason.quarantined_at, now)} without using up an attempt: {why}. "
        "Fix the cause, then retry it."
    )


@reason_text.register
def _(reason: Hung, now: datetime) -> str:
    return (
        f"Worker {reason.worker} has held it for {format_duration(now - reason.claimed_at)}, and a handler has been "
        f"blocking its event loop for {format_duration(now - reason.hung_since)}. "
        "The process is alive, so its jobs are not released to other workers."
    )


@reason_text.register
def _(reason: Running, now: datetime) -> str:
    sentences = [f"Worker {reason.worker} has been running it for {format_duration(now - reason.claimed_at)}."]
    if reason.deadline > now:
        sentences.append(f"Its attempt times out in {format_duration(reason.deadline - now)}.")
    else:
        sentences.append(f"Its attempt timed out {_ago(reason.deadline, now)}, but has not stopped yet.")
    if reason.cancel_requested_at:
        sentences.append(f"Its cancellation was requested {_ago(reason.cancel_requested_at, now)}.")
    if reason.silence > NOTABLE_SILENCE:
        sentences.append(
            f"The worker has sent no heartbeat for {format_duration(reason.silence)}: if it is dead, another worker "
            "takes over within about ten seconds."
        )
    return " ".join(sentences)


@reason_text.register
def _(reason: Scheduled, now: datetime) -> str:
    return f"It is scheduled for {format_time(reason.run_at)}, in {format_duration(reason.run_at - now)}."


@reason_text.register
def _(reason: WaitsForRetry, now: datetime) -> str:
    how = f" ({reason.last_error.type})" if reason.last_error else ""
    when = f"{format_time(reason.retry_at)}, in {format_duration(reason.retry_at - now)}"
    return f"Attempt {reason.attempt} of {reason.max_attempts} failed{how}. The next one is due at {when}."


@reason_text.register
def _(_reason: Pending, _now: datetime) -> str:
    return "It waits for other jobs."


@reason_text.register
def _(reason: Paused, now: datetime) -> str:
    subject = "Everything" if reason.what == "all" else f"The {reason.what} {reason.name}"
    others = f" {_count(reason.others, 'other pause')} would still block it." if reason.others else ""
    return (
        f"{subject} was paused by {reason.paused_by} {_ago(reason.paused_at, now)}: resume it to run the job.{others}"
    )


@reason_text.register
def _(reason: KindNotKnown, now: datetime) -> str:
    live, last = reason.live_workers, reason.last_known_at
    none = f"None of {_count(live, 'live worker')} knows its kind" if live else "No worker is live that knows its kind"
    known = f"The last worker that knew it was seen {_ago(last, now)}" if last else "No worker on record knew it"
    return f"{none}, {reason.kind}. {known}."


@reason_text.register
def _(reason: VersionNotKnown, _now: datetime) -> str:
    return (
        f"It has version {reason.version} of {reason.kind}, and the live workers know that kind up to version "
        f"{reason.worker_version} only: it waits for a newer worker."
    )


@reason_text.register
def _(reason: QueueUnserved, _now: datetime) -> str:
    served = ", ".join(reason.served_queues) or "none"
    return f"No live worker that knows its kind claims from its queue, {reason.queue}. They claim from: {served}."


@reason_text.register
def _(reason: JobsDisabled, _now: datetime) -> str:
    return f"The workers that could run it have jobs disabled (JOBS_ENABLED=false): {', '.join(reason.workers)}."


@reason_text.register
def _(reason: QueueFull, _now: datetime) -> str:
    most = _count(reason.max_running, "job")
    return f"Its queue, {reason.queue}, is limited to {most} at once, and as many are running. {_ahead(reason)}"


@reason_text.register
def _(reason: Behind, _now: datetime) -> str:
    sentences = [_ahead(reason)]
    if reason.hung_workers == reason.workers:
        sentences.append(f"{_all_of(reason.workers)} hung: a handler blocks the event loop.")
    elif not reason.free_slots:
        sentences.append(f"{_all_of(reason.workers)} busy in all slots.")
    if reason.eta is not None:
        least = "at least" if reason.more else "about"
        sentences.append(
            f"At {reason.jobs_per_second:.3g} jobs per second it will be claimed in {least} "
            f"{format_duration(reason.eta)}."
        )
    elif reason.hung_workers < reason.workers and not reason.jobs_per_second:
        sentences.append("No job of its queue has ended in the last minutes, so no estimate can be made.")
    return " ".join(sentences)


@reason_text.register
def _(reason: Next, now: datetime) -> str:
    return f"Nothing blocks it: it will be claimed within moments. It became available {_ago(reason.ready_at, now)}."


@reason_text.register
def _(reason: Duplicate, _now: datetime) -> str:
    what = "idempotency key" if reason.by == "key" else "uniqueness rule"
    other = f"which is {reason.state}" if reason.state else "which has been deleted"
    end = f" This holds until {format_time(reason.until)}." if reason.until else ""
    return f"It would be a duplicate, by its {what}, of job {reason.job_id}, {other}.{end}"


@reason_text.register
def _(_reason: NotEnqueued, _now: datetime) -> str:
    return "There is no such job. An enqueue would be accepted."


def format_time(at: datetime) -> str:
    """Returns a time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_duration(time: timedelta) -> str:
    """Returns a length of time, rounded down: "less than a second", "12 seconds", "3 hours 20 minutes"."""
    rest = max(time, timedelta(0))
    if rest < timedelta(seconds=1):
        return "less than a second"
    parts: list[str] = []
    for unit, name in UNITS:
        number, rest = divmod(rest, unit)
        if number:
            parts.append(_count(number, name))
        elif parts:
            break
    return " ".join(parts[:2])


def _ahead(reason: QueueFull | Behind) -> str:
    before = reason.jobs_before
    if not before:
        return "It is not known how many jobs are ahead of it." if reason.more else "It is the first in its queue."
    least = "At least " if reason.more else ""
    return f"{least}{_count(before, 'job')} {'is' if before == 1 else 'are'} ahead of it in its queue."


def _all_of(workers: int) -> str:
    return "The one worker that could run it is" if workers == 1 else f"All {workers} workers that could run it are"


def _ago(at: datetime, now: datetime) -> str:
    return f"{format_duration(now - at)} ago, at {format_time(at)}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
