"""Payloads that are dataclasses or pydantic models: JSON in the row, the class in the handler."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from google.protobuf import any_pb2
from installation import Installation
from pydantic import BaseModel, Field, SecretStr, field_serializer, field_validator
from typing_extensions import TypedDict

from headrace.queue import (
    Enqueued,
    Enqueuer,
    Handlers,
    KeyReusedError,
    KindMisconfiguredError,
    KindOverride,
    Kinds,
    KindUnknownError,
    Limits,
    NewJob,
    NotAJobKindError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    RunningJob,
    Unique,
    Violation,
    job_kind,
)


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True)
class Line:
    article: str
    count: int = 1


@job_kind("shop.PackParcel", queue="parcels", max_retries=1, timeout=timedelta(seconds=5), priority=1)
@dataclass(frozen=True, slots=True)
class PackParcel:
    parcel: UUID
    size: Size
    due: datetime
    lines: list[Line] = field(default_factory=list)


@job_kind("shop.SendReceipt", version=3)
class SendReceipt(BaseModel):
    order: int = Field(gt=0, alias="orderNumber")
    note: str | None = Field(default=None, max_length=10)
    extra: dict[str, int] = {}

    @field_validator("note")
    @classmethod
    def polite(cls, note: str | None) -> str | None:
        if note == "no":
            raise ValueError("must be polite")
        return note


class Part(TypedDict):
    names: set[str]
    steps: list[str]


@job_kind("shop.Build")
@dataclass(frozen=True)
class Build:
    part: Part
    count: int = 0

    @property
    def share(self) -> float:
        return 100 / self.count


PARCEL = PackParcel(uuid4(), Size.LARGE, datetime(2030, 1, 2, 3, tzinfo=UTC), [Line("tea", 2), Line("Ωmega")])


@pytest.fixture
def kinds() -> Kinds:
    return Kinds([PackParcel, SendReceipt, TestKinds.Greet])


@pytest.fixture
def shop(installation: Installation, kinds: Kinds) -> Installation:
    """An installation whose kinds are of all three sorts."""
    installation.kinds = kinds
    installation.enqueuer = Enqueuer(kinds)
    return installation


async def refused(shop: Installation, payload: Any, **options: Any) -> Any:
    async with await shop.connect() as connection:
        [result] = await shop.enqueuer.enqueue_many_async(connection, [NewJob(payload, **options)])
    assert not isinstance(result, Enqueued)
    return result


def test_the_decorator_says_what_a_messages_option_says(kinds: Kinds) -> None:
    parcel, receipt = kinds["shop.PackParcel"], kinds.of(SendReceipt)
    assert (parcel.queue, parcel.max_retries, parcel.timeout) == ("parcels", 1, timedelta(seconds=5))
    assert (parcel.priority, parcel.version, parcel.message_class) == (1, 1, PackParcel)
    assert (receipt.name, receipt.queue, receipt.max_retries, receipt.version) == ("shop.SendReceipt", "default", 3, 3)
    overridden = Kinds([PackParcel], overrides={"shop.PackParcel": KindOverride(queue="vip")})
    assert overridden.of(PARCEL).queue == "vip"


async def test_handlers_get_what_was_sent(shop: Installation, eventually: Eventually) -> None:
    seen: dict[str, Any] = {}

    async def pack(parcel: PackParcel, job: RunningJob) -> None:
        seen[job.kind.name] = parcel

    def send(receipt: SendReceipt, job: RunningJob) -> None:
        seen[job.kind.name] = receipt

    handlers = Handlers(shop.kinds)
    handlers.add(PackParcel, pack)
    handlers.add(SendReceipt, send)
    receipt = SendReceipt(orderNumber=7, extra={"a": 1})
    ids = [await shop.enqueue(PARCEL), await shop.enqueue(receipt)]
    async with shop.working(shop.worker(handlers)):
        for job_id in ids:
            await eventually(lambda job_id=job_id: shop.is_in(job_id, "completed"))
    assert seen == {"shop.PackParcel": PARCEL, "shop.SendReceipt": receipt}


async def test_the_payload_is_json_that_an_operator_can_read(shop: Installation) -> None:
    await shop.enqueue(SendReceipt(orderNumber=7, note="é"))
    [row] = await shop.execute("select convert_from(payload, 'UTF8')::jsonb from headrace.jobs")
    assert row == ({"order": 7, "note": "é", "extra": {}},)


async def test_what_breaks_the_types_or_validators_is_refused_with_every_violation(shop: Installation) -> None:
    bad = SendReceipt.model_construct(order=0, note="much too long")
    error = await refused(shop, bad)
    assert isinstance(error, PayloadInvalidError)
    assert error.violations == (
        Violation("order", "Input should be greater than 0", "greater_than"),
        Violation("note", "String should have at most 10 characters", "string_too_long"),
    )
    wrong = PackParcel("no uuid", Size.SMALL, PARCEL.due, [Line("tea", "many")])  # type: ignore[arg-type]
    error = await refused(shop, wrong)
    assert [violation.field for violation in error.violations] == ["parcel", "lines[0].count"]
    assert "no uuid" not in str(error)
    error = await refused(shop, SendReceipt.model_construct(order=1, note="no"))
    assert "must be polite" in str(error)


async def test_what_cant_be_written_or_is_too_large_is_refused(shop: Installation) -> None:
    unwritable: Any = object()
    error = await refused(shop, SendReceipt.model_construct(order=1, extra={"a": unwritable}))
    assert isinstance(error, PayloadUnreadableError)
    shop.enqueuer = Enqueuer(shop.kinds, limits=Limits(payload_bytes=20))
    assert isinstance(await refused(shop, PARCEL), PayloadTooLargeError)


async def test_a_secret_that_would_be_written_as_asterisks_is_refused(installation: Installation) -> None:
    """Its handler would get the asterisks. What a serializer writes is a secret no more, but it is all there."""

    class Login(BaseModel):
        token: SecretStr

    @job_kind("shop.LogIn")
    class LogIn(BaseModel):
        logins: list[Login] = []
        note: str = ""

    @job_kind("shop.LogInPlainly")
    class LogInPlainly(BaseModel):
        token: SecretStr

        @field_serializer("token")
        def plainly(self, token: SecretStr) -> str:
            return token.get_secret_value()

    installation.enqueuer = Enqueuer(Kinds([LogIn, LogInPlainly]))
    error = await refused(installation, LogIn(logins=[Login(token=SecretStr("abc"))]))
    assert isinstance(error, PayloadInvalidError)
    assert [found.field for found in error.violations] == ["logins[0].token"]
    assert "asterisks" in str(error)
    async with await installation.connect() as connection:
        for payload in (LogIn(note="*" * 10), LogInPlainly(token=SecretStr("abc"))):
            await installation.enqueuer.enqueue_async(connection, NewJob(payload))


async def test_classes_that_are_not_kinds_are_rejected_by_name(shop: Installation) -> None:
    class Receipt(SendReceipt):
        """A subclass is another payload."""

    for payload, name in [(Line("tea"), "test_json_payloads.Line"), (Receipt(orderNumber=1), "Receipt"), (3, "int")]:
        error = await refused(shop, payload)
        assert isinstance(error, KindUnknownError)
        assert name in error.kind
    with pytest.raises(NotAJobKindError, match=r"Line is not a job kind: put @job_kind"):
        Kinds([Line])


def test_names_and_options_that_make_no_sense_are_refused_at_the_start() -> None:
    for name in ("", "a b", "a..b", "1a", "x" * 201):
        with pytest.raises(KindMisconfiguredError, match="use words of letters, digits and underscores"):
            job_kind(name)
    with pytest.raises(
        KindMisconfiguredError, match=r"a\.B: priority must be 1 \(first\) to 4 \(last\); version must be 1 to"
    ):
        Kinds([job_kind("a.B", priority=9, version=0)(dataclass(type("B", (), {})))])
    with pytest.raises(KindMisconfiguredError, match=r"two classes are declared to be the kind shop\.SendReceipt"):
        Kinds([SendReceipt, job_kind("shop.SendReceipt")(dataclass(type("B", (), {})))])


async def test_a_payload_that_its_class_can_no_longer_read_is_quarantined(
    shop: Installation, eventually: Eventually
) -> None:
    job_id = await shop.enqueue(SendReceipt(orderNumber=7))
    await shop.execute('update headrace.jobs set payload = \'{"order": "seven"}\'')

    async def send(receipt: SendReceipt, job: RunningJob) -> None:
        """Is never called."""

    handlers = Handlers(shop.kinds)
    handlers.add(SendReceipt, send)
    async with shop.working(shop.worker(handlers)):
        await eventually(lambda: shop.is_in(job_id, "quarantined"))
    job = await shop.job(job_id)
    assert (job.attempt, job.errors[0].type) == (0, "undecodable")
    assert "order: Input should be a valid integer" in job.errors[0].message


async def test_uniqueness_looks_at_their_fields(shop: Installation) -> None:
    async def accept(payload: Any, *by: str) -> Any:
        async with await shop.connect() as connection:
            return await shop.enqueuer.enqueue_async(connection, NewJob(payload, unique=Unique(by=by or "all")))

    first = await accept(SendReceipt(orderNumber=7, extra={"a": 1, "b": 2}))
    assert (await accept(SendReceipt(orderNumber=7, extra={"b": 2, "a": 1}))).job_id == first.job_id
    assert not (await accept(SendReceipt(orderNumber=7))).duplicate
    by_order = await accept(SendReceipt(orderNumber=7), "order")
    assert (await accept(SendReceipt(orderNumber=7, note="x"), "order")).job_id == by_order.job_id
    assert not (await accept(SendReceipt(orderNumber=8), "order")).duplicate
    assert (await refused(shop, SendReceipt(orderNumber=8), unique=Unique(by=("orderNumber",)))).violations


async def test_uniqueness_by_all_counts_what_a_model_allows_beyond_its_fields(installation: Installation) -> None:
    @job_kind("shop.Track")
    class Track(BaseModel, extra="allow"):
        order: int

    enqueuer = Enqueuer(Kinds([Track]))
    async with await installation.connect() as connection:
        one, other, again = [
            await enqueuer.enqueue_async(connection, NewJob(Track(order=7, carrier=carrier), unique=Unique(by="all")))
            for carrier in ("post", "courier", "post")
        ]
        by_order = [
            await enqueuer.enqueue_async(connection, NewJob(Track(order=8, carrier=each), unique=Unique(by=("order",))))
            for each in ("post", "courier")
        ]
    assert (other.duplicate, again.duplicate) == (False, True)
    assert one.job_id == again.job_id != other.job_id
    assert [each.duplicate for each in by_order] == [False, True]


async def test_the_order_of_a_mappings_entries_makes_no_other_payload(shop: Installation) -> None:
    """A caller that sends a job again under its key may build its payload again."""
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    async with await shop.connect() as connection:
        first, in_batch, changed = await shop.enqueuer.enqueue_many_async(
            connection, [NewJob(SendReceipt(orderNumber=7, extra=extra), key="k") for extra in (one, other, {"a": 1})]
        )
        [again] = await shop.enqueuer.enqueue_many_async(
            connection, [NewJob(SendReceipt(orderNumber=7, extra=other), key="k")]
        )
    assert isinstance(first, Enqueued)
    assert in_batch == again == Enqueued(first.job_id, duplicate=True, reason="key")
    assert isinstance(changed, KeyReusedError)


SETS = """
import sys
from dataclasses import dataclass
import psycopg
from collections import deque
from pydantic import RootModel
from headrace.queue import Enqueuer, Kinds, NewJob, Unique, job_kind

@dataclass(frozen=True)
class Part:
    names: frozenset[str]

class Words(RootModel[set[str]]):
    pass

@job_kind("shop.Sort")
@dataclass(frozen=True)
class Sort:
    words: set[str]
    parts: list[Part]
    by_name: dict[str, frozenset[str]]
    groups: frozenset[frozenset[str]]
    root: Words
    queue: deque[set[str]]

words = frozenset("one two three four five six seven".split())
groups = frozenset({words, words - {"one"}})
sort = Sort(set(words), [Part(words)], {"all": words}, groups, Words(set(words)), deque([set(words)]))
with psycopg.connect(sys.argv[1]) as connection:
    enqueuer = Enqueuer(Kinds([Sort]))
    for options in ({"key": "k"}, {"unique": Unique(by="all")}, {"unique": Unique(by=("words",))}):
        print(enqueuer.enqueue(connection, NewJob(sort, **options)).job_id)
"""


async def test_the_order_in_which_a_process_writes_a_set_makes_no_other_payload(installation: Installation) -> None:
    async def ids(seed: int) -> bytes:
        command = (sys.executable, "-c", SETS, installation.dsn)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out

    first, again, other = [await ids(seed) for seed in (1, 2, 3)]
    assert len(set(first.split())) == 3
    assert first == again == other


async def test_what_differs_beside_a_set_is_another_payload(installation: Installation) -> None:
    """Also where a client names the entries in another order than the class does, or names what it is not asked for."""

    enqueuer = Enqueuer(Kinds([Build]))

    async def accept(connection: psycopg.AsyncConnection[Any], steps: list[str]) -> Any:
        part = {"steps": steps, "names": ["b", "a"]}
        written = json.dumps({"part": part, "share": [1]}).encode()
        payload = any_pb2.Any(type_url="type.googleapis.com/shop.Build", value=written)
        return await enqueuer.enqueue_async(connection, NewJob(payload, key="k"))

    async with await installation.connect() as connection:
        assert not (await accept(connection, ["x", "y"])).duplicate
        with pytest.raises(KeyReusedError):
            await accept(connection, ["y", "x"])


async def test_tags_and_metadata_come_back_as_they_were_given(shop: Installation) -> None:
    tags = ["vip", 'with "quotes"', "back\\slash", "{a,b}", "NULL", "Ω", "a,b"]
    metadata = {"tenant": 7, "nested": {"list": [1, None, "Ω\\u0000"]}}
    with_both = await shop.job(await shop.enqueue(PARCEL, tags=tags, metadata=metadata))
    without = await shop.job(await shop.enqueue(PARCEL))
    assert (with_both.tags, with_both.metadata) == (tags, metadata)
    assert (without.tags, without.metadata) == ([], None)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"tags": ["x"] * 21}, "tags must be at most 20"),
        ({"tags": ["a", ""]}, r"tags\[1\] must have 1 to 100 printable characters"),
        ({"tags": ["x" * 101]}, r"tags\[0\] must have 1 to 100"),
        ({"tags": ["a\0"]}, r"tags\[0\] must have 1 to 100"),
        ({"tags": "word"}, "tags must be a list of words, not one word"),
        ({"metadata": {"a": "x" * 16_384}}, "metadata must be a JSON object of at most 16384 bytes"),
        ({"metadata": {"a": float("nan")}}, "metadata must be a JSON object"),
        ({"metadata": {"a": object()}}, "metadata must be a JSON object"),
        ({"metadata": {"a": "\0"}}, "metadata must be a JSON object"),
        ({"metadata": [1]}, "metadata must be a JSON object"),
    ],
)
async def test_tags_and_metadata_that_cant_be_kept_are_refused(
    shop: Installation, options: Any, complaint: str
) -> None:
    assert re.search(complaint, str(await refused(shop, PARCEL, **options)))
