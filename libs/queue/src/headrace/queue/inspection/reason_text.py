"""Reasons in words, for a person: what is so, since when, and what would change it."""

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

# A worker beats every second: beyond this its silence is worth a word.
NOTABLE_SILENCE = timedelta(seconds=3)
UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)


@singledispatch
def reason_text(reason: Reason, now: datetime) -> str:
    """A reason in a sentence or two. Tells no more of an error than its type: its message may quote a payload."""
    raise TypeError(f"no words for {reason!r} at {now}")


@reason_text.register
def _(reason: Finished, now: datetime) -> str:
    error = reason.last_error
    said = f" Its last failed attempt ended with {error.type}." if error else ""
    return f"It was {reason.state} {_ago(reason.finished_at, now)}.{said}"


@reason_text.register
def _(reason: Quarantined, now: datetime) -> str:
    error = reason.error
    deaths = f"{_count(reason.deaths, 'worker')} died while running it"
    why = f"its attempt ended with {error.type}" if error and error.type != "worker_lost" else deaths
    return (
        f"It was set aside {_ago(reason.quarantined_at, now)}, no attempt spent: {why}. Retry it when that is mended."
    )


@reason_text.register
def _(reason: Hung, now: datetime) -> str:
    return (
        f"Worker {reason.worker} has had it for {format_duration(now - reason.claimed_at)}, and has not moved for "
        f"{format_duration(now - reason.hung_since)}: a handler blocks its event loop. "
        "The process is alive, so no other worker gets its jobs."
    )


@reason_text.register
def _(reason: Running, now: datetime) -> str:
    said = [f"Worker {reason.worker} has run it for {format_duration(now - reason.claimed_at)}."]
    if reason.deadline > now:
        said.append(f"Its timeout ends the attempt in {format_duration(reason.deadline - now)}.")
    else:
        said.append(f"Its timeout was over {_ago(reason.deadline, now)}: it was told to stop, and has not ended yet.")
    if reason.cancel_requested_at:
        said.append(f"It was asked to be cancelled {_ago(reason.cancel_requested_at, now)}.")
    if reason.silence > NOTABLE_SILENCE:
        said.append(
            f"The worker has given no sign of life for {format_duration(reason.silence)}: if it is dead, another "
            "worker takes over within about ten seconds."
        )
    return " ".join(said)


@reason_text.register
def _(reason: Scheduled, now: datetime) -> str:
    return f"It is scheduled for {format_time(reason.run_at)}, in {format_duration(reason.run_at - now)}."


@reason_text.register
def _(reason: WaitsForRetry, now: datetime) -> str:
    how = f" ({reason.last_error.type})" if reason.last_error else ""
    when = f"{format_time(reason.retry_at)}, in {format_duration(reason.retry_at - now)}"
    return f"Attempt {reason.attempt} of {reason.max_attempts} failed{how}; the next one is due at {when}."


@reason_text.register
def _(_reason: Pending, _now: datetime) -> str:
    return "It waits for other jobs."


@reason_text.register
def _(reason: Paused, now: datetime) -> str:
    subject = "Everything" if reason.what == "all" else f"The {reason.what} {reason.name}"
    others = f" {_count(reason.others, 'more pause')} would still hold it then." if reason.others else ""
    return (
        f"{subject} was paused by {reason.paused_by} {_ago(reason.paused_at, now)}: resume it to run the job.{others}"
    )


@reason_text.register
def _(reason: KindNotKnown, now: datetime) -> str:
    live, last = reason.live_workers, reason.last_known_at
    who = f"None of {_count(live, 'live worker')} knows its kind" if live else "No worker is there that could run it"
    known = f"One that knew it was last there {_ago(last, now)}" if last else "None that knew it is on record"
    return f"{who}, {reason.kind}. {known}."


@reason_text.register
def _(reason: VersionNotKnown, _now: datetime) -> str:
    return (
        f"It is of version {reason.version} of {reason.kind}, and the live workers know that kind up to version "
        f"{reason.worker_version}: it waits for a newer worker."
    )


@reason_text.register
def _(reason: QueueUnserved, _now: datetime) -> str:
    where = ", ".join(reason.served_queues) or "none"
    return f"No live worker that knows its kind claims from its queue, {reason.queue}. They claim from: {where}."


@reason_text.register
def _(reason: JobsDisabled, _now: datetime) -> str:
    return f"The workers that could run it have jobs disabled (JOBS_ENABLED=false): {', '.join(reason.workers)}."


@reason_text.register
def _(reason: QueueFull, _now: datetime) -> str:
    most = _count(reason.max_running, "job")
    return f"{most} of the queue {reason.queue} may run at once, and so many do. {_line(reason)}"


@reason_text.register
def _(reason: Behind, _now: datetime) -> str:
    said = [_line(reason)]
    if reason.hung_workers == reason.workers:
        said.append(f"{_all_of(reason.workers)} hung: a handler blocks the event loop.")
    elif not reason.free_slots:
        said.append(f"{_all_of(reason.workers)} busy in all slots.")
    if reason.eta is not None:
        least = "at least" if reason.more else "about"
        said.append(
            f"At {reason.jobs_per_second:.3g} jobs per second its turn comes in {least} {format_duration(reason.eta)}."
        )
    elif reason.hung_workers < reason.workers and not reason.jobs_per_second:
        said.append("No job of its queue has ended in the last minutes, so there is no telling when its turn comes.")
    return " ".join(said)


@reason_text.register
def _(reason: Next, now: datetime) -> str:
    return f"Nothing is in its way: it is claimed within moments. It came into line {_ago(reason.ready_at, now)}."


@reason_text.register
def _(reason: Duplicate, _now: datetime) -> str:
    what = "its idempotency key" if reason.by == "key" else "its uniqueness"
    where = f"which is {reason.state}" if reason.state else "whose row is gone"
    end = f" That ends at {format_time(reason.until)}." if reason.until else ""
    return f"There is no such job: by {what}, job {reason.job_id} stands for it, {where}.{end}"


@reason_text.register
def _(_reason: NotEnqueued, _now: datetime) -> str:
    return "There is no such job. Enqueuing it would be accepted."


def format_time(at: datetime) -> str:
    """A time, in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_duration(time: timedelta) -> str:
    """A length of time, roughly: "less than a second", "12 seconds", "3 hours 20 minutes"."""
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


def _line(reason: QueueFull | Behind) -> str:
    before = reason.jobs_before
    if not before:
        return "It is not known how many jobs stand before it." if reason.more else "It is the first in line."
    least = "At least " if reason.more else ""
    return f"{least}{_count(before, 'job')} {'stands' if before == 1 else 'stand'} before it in its queue."


def _all_of(workers: int) -> str:
    return "The one worker that could run it is" if workers == 1 else f"All {workers} workers that could run it are"


def _ago(at: datetime, now: datetime) -> str:
    return f"{format_duration(now - at)} ago, at {format_time(at)}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
