"""Which jobs the enqueuer rejects and why, and that it rejects no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine_kinds import FILE, TestKinds
from google.protobuf.any_pb2 import Any as AnyMessage
from installation import Installation
from more_kinds import MORE_FILE, Riddle, Tree, tree

from headrace.queue import (
    BatchTooLargeError,
    Enqueued,
    EnqueueError,
    Enqueuer,
    KindOverride,
    Kinds,
    KindUnknownError,
    Limits,
    NewJob,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    TraceParent,
    ValidatedJob,
    Violation,
)

GREET = "headrace.test.v1.Greet"


@pytest.fixture
def enqueuer() -> Enqueuer:
    return Enqueuer(Kinds.of_file(FILE, MORE_FILE), limits=Limits(payload_bytes=2_000, batch=50))


async def refusals(installation: Installation, enqueuer: Enqueuer, *jobs: NewJob) -> list[Any]:
    """Returns why each of these jobs is rejected; nothing of them is stored, and the transaction continues."""
    async with await installation.connect(autocommit=False) as connection:
        results = await enqueuer.enqueue_many_async(connection, jobs)
        [after] = await enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())])
        assert isinstance(after, Enqueued)
    assert await installation.execute("select id from headrace.jobs") == [(after.job_id,)]
    assert all(isinstance(result, EnqueueError) for result in results), results
    return list(results)


def packed(kind: str, value: bytes) -> AnyMessage:
    return AnyMessage(type_url=f"type.googleapis.com/{kind}", value=value)


async def test_an_unknown_kind_is_refused_with_the_known_ones(installation: Installation, enqueuer: Enqueuer) -> None:
    [refused] = await refusals(installation, enqueuer, NewJob(packed("acme.v1.Nothing", b"")))
    assert isinstance(refused, KindUnknownError)
    assert refused.known == enqueuer.kinds.names
    assert "'acme.v1.Nothing'; known are: headrace.test.more.v1.Riddle, headrace.test.more.v1.Tree" in str(refused)


UNREADABLE: dict[str, tuple[Any, str]] = {
    "garbage": (packed(GREET, b"\xff\xff\xff"), "Error parsing message"),
    "truncated": (packed(GREET, b"\x0a\x05Ad"), "Error parsing message"),
    "invalid UTF-8": (packed(GREET, b"\x0a\x01\xff"), "Error parsing message"),
    "too deep in an Any": (packed("headrace.test.more.v1.Tree", tree(200).SerializeToString()), "Error parsing"),
    "too deep": (tree(200), "Error parsing message"),
    "no host": (AnyMessage(type_url=GREET), "type URL 'headrace.test.v1.Greet' isn't of the form host/full.Name"),
    "empty Any": (AnyMessage(), "type URL '' isn't of the form"),
}


async def test_a_payload_that_no_worker_could_read_is_refused(installation: Installation, enqueuer: Enqueuer) -> None:
    results = await refusals(installation, enqueuer, *(NewJob(payload) for payload, _ in UNREADABLE.values()))
    for (case, (_, reason)), refused in zip(UNREADABLE.items(), results, strict=True):
        assert isinstance(refused, PayloadUnreadableError), case
        assert reason in str(refused), case


async def test_as_much_nesting_as_can_be_read_is_accepted(installation: Installation, enqueuer: Enqueuer) -> None:
    async with await installation.connect() as connection:
        accepted = await enqueuer.enqueue_async(connection, NewJob(tree(90)))
    assert Tree.FromString((await installation.job(accepted.job_id)).payload) == tree(90)


async def test_every_rule_that_a_payload_breaks_is_named(installation: Installation, enqueuer: Enqueuer) -> None:
    [refused] = await refusals(installation, enqueuer, NewJob(TestKinds.Greet(name="x" * 101, lines=["", "fine", ""])))
    assert isinstance(refused, PayloadInvalidError)
    assert {(v.field, v.rule) for v in refused.violations} == {
        ("name", "string.max_len"),
        ("lines[0]", "string.min_len"),
        ("lines[2]", "string.min_len"),
    }
    assert "lines[2] must be at least 1 characters" in str(refused)


async def test_a_payload_on_which_a_rule_itself_fails_is_refused(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    wrong, unclear = await refusals(
        installation, enqueuer, NewJob(Riddle(number="0")), NewJob(Riddle(number="no number"))
    )
    assert isinstance(wrong, PayloadInvalidError)
    assert wrong.violations == (Violation("number", "must be above one", "riddle.number"),)
    assert isinstance(unclear, PayloadInvalidError)
    assert "can't be evaluated" in str(unclear)


async def test_a_payload_over_the_limit_is_refused_with_both_sizes(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    [refused] = await refusals(installation, enqueuer, NewJob(TestKinds.Greet(lines=["x" * 1_998])))
    assert isinstance(refused, PayloadTooLargeError)
    assert (refused.size, refused.limit) == (2_001, 2_000)


NOW = datetime.now(UTC)


OUT_OF_RANGE: list[tuple[dict[str, Any], set[str]]] = [
    ({"queue": ""}, {"queue"}),
    ({"queue": "a\0b"}, {"queue"}),
    ({"queue": "\ud800"}, {"queue"}),
    ({"queue": "x" * 101}, {"queue"}),
    ({"priority": 0}, {"priority"}),
    ({"priority": 5}, {"priority"}),
    ({"max_retries": -1}, {"max_retries"}),
    ({"max_retries": 1001}, {"max_retries"}),
    ({"timeout": timedelta(0)}, {"timeout"}),
    ({"timeout": timedelta(microseconds=999)}, {"timeout"}),
    ({"timeout": timedelta(hours=24, microseconds=1)}, {"timeout"}),
    ({"run_at": NOW.replace(tzinfo=None)}, {"run_at"}),
    ({"run_at": datetime.max.replace(tzinfo=UTC)}, {"run_at"}),
    ({"key": "x" * 201}, {"idempotency_key"}),
    ({"key": "a\0b"}, {"idempotency_key"}),
    ({"key": "half \ud83d"}, {"idempotency_key"}),
    ({"key": "key", "caller": "a\0b"}, {"caller"}),
    ({"caller": "\udc00"}, {"caller"}),
    (
        {"queue": "", "priority": 9, "max_retries": -1, "timeout": timedelta(0), "key": "\0"},
        {"queue", "priority", "max_retries", "timeout", "idempotency_key"},
    ),
]


async def test_options_out_of_range_are_refused_all_at_once(installation: Installation, enqueuer: Enqueuer) -> None:
    results = await refusals(
        installation, enqueuer, *(NewJob(TestKinds.Greet(), **options) for options, _ in OUT_OF_RANGE)
    )
    for (options, fields), refused in zip(OUT_OF_RANGE, results, strict=True):
        assert isinstance(refused, OptionInvalidError), options
        assert {violation.field for violation in refused.violations} == fields, options


def test_validate_reports_payload_options_and_metadata_together(enqueuer: Enqueuer) -> None:
    job = NewJob(TestKinds.Greet(name="x" * 101), priority=9, tags=["a", ""], metadata={"a": float("nan")}, version=0)
    error = enqueuer.validate(job)
    assert isinstance(error, PayloadInvalidError)
    assert [found.field for found in error.violations] == ["name"]
    assert {found.field for found in error.options} == {"priority", "tags[1]", "metadata", "version"}


async def test_a_validated_job_is_enqueued_without_validating_it_again(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    message = TestKinds.Greet(name="Ada")
    job = enqueuer.validate(NewJob(message, priority=1, key="k"))
    assert isinstance(job, ValidatedJob)
    assert (job.queue, job.kind.name, job.message, job.options.priority) == ("greetings", GREET, message, 1)
    message.name = "x" * 101  # a second validation would see it
    async with await installation.connect() as connection:
        [first], [again] = [await enqueuer.enqueue_many_async(connection, [job]) for _ in range(2)]
    assert isinstance(first, Enqueued)
    assert again == Enqueued(first.job_id, duplicate=True, reason="key")
    assert TestKinds.Greet.FromString((await installation.job(first.job_id)).payload).name == "Ada"


async def test_a_validated_job_passes_through_middleware_and_is_validated_after_it(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    def raise_priority(jobs: Any) -> Any:
        yield [replace(job, priority=9) for job in jobs]

    job = enqueuer.validate(NewJob(TestKinds.Greet()))
    assert isinstance(job, ValidatedJob)
    enqueuer.use(raise_priority)
    async with await installation.connect() as connection:
        [result] = await enqueuer.enqueue_many_async(connection, [job])
    assert isinstance(result, OptionInvalidError)


async def test_the_ends_of_every_range_are_accepted(installation: Installation, enqueuer: Enqueuer) -> None:
    lowest: dict[str, Any] = {"queue": "q", "priority": 1, "max_retries": 0, "timeout": timedelta(milliseconds=1)}
    highest: dict[str, Any] = {
        "queue": "é" * 100,
        "priority": 4,
        "max_retries": 1000,
        "timeout": timedelta(hours=24),
        "key": "𝄞" * 200,
        "run_at": NOW + timedelta(days=3650),
    }
    for options in (lowest, highest):
        async with await installation.connect() as connection:
            job_id = (await enqueuer.enqueue_async(connection, NewJob(TestKinds.Greet(), **options))).job_id
        job = await installation.job(job_id)
        assert {name: getattr(job, name, None) for name in lowest} == {name: options[name] for name in lowest}


async def test_the_call_goes_before_the_override_and_that_before_the_kind(installation: Installation) -> None:
    override = KindOverride(queue="overridden", max_retries=9)
    enqueuer = Enqueuer(Kinds.of_file(FILE, overrides={GREET: override}))
    async with await installation.connect() as connection:
        jobs = [NewJob(TestKinds.Greet()), NewJob(TestKinds.Greet(), queue="called", max_retries=0)]
        results = await enqueuer.enqueue_many_async(connection, jobs)
    plain, called = [await installation.job(result.job_id) for result in results if isinstance(result, Enqueued)]
    assert (plain.queue, plain.max_retries, plain.priority) == ("overridden", 9, 2)
    assert (called.queue, called.max_retries, called.priority) == ("called", 0, 2)


async def test_refused_items_dont_stop_the_others_of_their_batch(
    installation: Installation, enqueuer: Enqueuer
) -> None:
    batch = [
        NewJob(TestKinds.Greet(name="first")),
        NewJob(packed("acme.v1.Nothing", b"")),
        NewJob(TestKinds.Greet(name="x" * 101)),
        NewJob(TestKinds.Count(name="second"), key="key"),
        NewJob(TestKinds.Count(), priority=9),
        NewJob(packed(GREET, TestKinds.Greet(name="third").SerializeToString())),
    ]
    async with await installation.connect() as connection:
        results = await enqueuer.enqueue_many_async(connection, batch)
    assert [type(result) for result in results] == [
        Enqueued, KindUnknownError, PayloadInvalidError, Enqueued, OptionInvalidError, Enqueued,
    ]  # fmt: skip
    names = [
        enqueuer.kinds[job.kind].message_class.FromString(job.payload).name
        for job in [await installation.job(result.job_id) for result in results if isinstance(result, Enqueued)]
    ]
    assert names == ["first", "second", "third"]


async def test_a_batch_over_the_limit_is_refused_whole(installation: Installation, enqueuer: Enqueuer) -> None:
    async with await installation.connect() as connection:
        with pytest.raises(BatchTooLargeError, match="the batch has 51 jobs; the limit is 50"):
            await enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())] * 51)
        assert await enqueuer.enqueue_many_async(connection, []) == []
    assert await installation.execute("select count(*) from headrace.jobs") == [(0,)]


async def test_a_broken_trace_context_costs_the_trace_and_not_the_job(installation: Installation) -> None:
    for bad in ("a\0b", "\ud800", "ü", "x" * 9_000):
        job_id = await installation.enqueue(TestKinds.Greet(), trace=TraceParent(bad, bad, bad))
        assert (await installation.job(job_id)).traceparent is None


async def test_NUL_in_a_payload_is_the_payloads_own_business(installation: Installation) -> None:  # noqa: N802
    job_id = await installation.enqueue(TestKinds.Greet(name="a\0b"))
    assert TestKinds.Greet.FromString((await installation.job(job_id)).payload).name == "a\0b"
