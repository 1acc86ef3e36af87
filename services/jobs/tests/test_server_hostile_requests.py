"""Hostile requests: whatever a message contains, the response says what is wrong, and the server keeps running.

Every field of every request is set to the worst values of its type, once alone and once in a request that is sound
otherwise, so that what the rules let pass reaches the engine and Postgres. No response may be UNKNOWN or INTERNAL (an
unforeseen error), nor one that asks to try again.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError, insecure_channel
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs_server_fixtures import Serve
from private_kinds import PRIVATE_FILE, Invite

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import Kinds
from jobs_service.server.program import JobsServer

SERVICE = pb.DESCRIPTOR.services_by_name["JobsService"]
METHODS = [method.name for method in SERVICE.methods]
TOKEN = (("authorization", "Bearer api-token"),)
SAID = {
    StatusCode.OK,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.ALREADY_EXISTS,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.OUT_OF_RANGE,
    StatusCode.UNIMPLEMENTED,
}
"""What an answer to a request may be; the others are about the caller or the server."""
KIND_URL = "type.googleapis.com/headrace.test.v1.Invite"


class Channel:
    """Sends bytes."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    async def code(self, method: str, data: bytes) -> StatusCode:
        """What a call is answered."""
        error = await self.error(method, data)
        return StatusCode.OK if error is None else error.code()

    async def error(self, method: str, data: bytes) -> AioRpcError | None:
        """The error that a call is answered with; None where it went well."""
        try:
            await self._channel.unary_unary(f"/{SERVICE.full_name}/{method}")(data, metadata=TOKEN, timeout=30)
        except AioRpcError as error:
            return error
        return None


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[JobsServer]:
    async with serve(kinds=Kinds.of_file(PRIVATE_FILE)) as running:
        yield running


@pytest.fixture
async def channel(server: JobsServer) -> AsyncIterator[Channel]:
    """A channel to the server; afterwards, a sound request must still go well."""
    unlimited = [("grpc.max_send_message_length", -1)]
    async with insecure_channel(f"127.0.0.1:{server.port}", options=unlimited) as opened:
        sending = Channel(opened)
        yield sending
        assert await sending.code("Enqueue", sound("Enqueue").SerializeToString()) is StatusCode.OK


def payload(**fields: Any) -> any_pb2.Any:
    return any_pb2.Any(type_url=KIND_URL, value=Invite(house="No. 4", **fields).SerializeToString())


def sound(method: str) -> Message:
    """A request of a method that goes well, or is about something that is not there."""
    periodic = {"name": "party", "payload": payload(), "every": {"seconds": 3600}}
    values: dict[str, Any] = {
        "job_id": "1",
        "name": "party",
        "queue": "invites",
        "kind": "headrace.test.v1.Invite",
        "periodic_job": periodic,
        "filter": {"kinds": ["headrace.test.v1.Public"]},
        "requests": [{"payload": payload()}],
        "payload": payload(),
    }
    request_class: Any = GetMessageClass(SERVICE.methods_by_name[method].input_type)
    fields = {field.name for field in request_class.DESCRIPTOR.fields}
    return request_class(**{field: value for field, value in values.items() if field in fields})  # type: ignore[no-any-return]


HUGE = 2**63 - 1
TEXTS = [
    "\0",
    "a\0b",
    "\ufffe",
    "�",
    "x" * 100_000,
    "' or 1=1; --",
    "\r\n",
    "%s%n{}",
    "-1",
    "9" * 30,
    "\u202e",
    "💥" * 50,
]
WORST: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXTS,
    FieldDescriptor.CPPTYPE_INT32: [-1, -(2**31), 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [-1, -(2**63), HUGE],
    FieldDescriptor.CPPTYPE_UINT32: [2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [2**64 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [float("nan"), float("inf"), -float("inf"), 1e308],
    FieldDescriptor.CPPTYPE_FLOAT: [float("nan"), float("inf")],
    FieldDescriptor.CPPTYPE_BOOL: [True],
    FieldDescriptor.CPPTYPE_ENUM: [-1, 999, 2**31 - 1],
}


def worst(message: Any, field: Any, depth: int) -> Iterator[None]:
    """Gives a field of a message its worst values, one after the other."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key in TEXTS:
            message.ClearField(field.name)
            getattr(message, field.name)[key].SetInParent()
            yield
        message.ClearField(field.name)
        yield from worst_within(getattr(message, field.name)["key"], depth - 1)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = inner.add()
        else:
            inner.SetInParent()
        yield
        yield from worst_within(inner, depth - 1)
    else:
        values = (
            [b"\xff\xfe", b"\0", b"x" * 300_000] if field.type == FieldDescriptor.TYPE_BYTES else WORST[field.cpp_type]
        )
        for value in values:
            if field.is_repeated:
                getattr(message, field.name)[:] = [value] * 3
            else:
                setattr(message, field.name, value)
            yield
        if field.is_repeated:
            getattr(message, field.name)[:] = [values[-1]] * 2000
            yield


def worst_within(message: Any, depth: int = 5) -> Iterator[None]:
    """Gives every field of a message its worst values, one at a time; the others stay as they are."""
    if depth == 0:
        return
    kept = type(message)()
    kept.CopyFrom(message)
    for field in message.DESCRIPTOR.fields:
        yield from worst(message, field, depth)
        message.CopyFrom(kept)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("base", ["alone", "in a sound request"])
async def test_the_worst_values_of_every_field_are_answered(channel: Channel, method: str, base: str) -> None:
    request_class = GetMessageClass(SERVICE.methods_by_name[method].input_type)
    request: Any = request_class() if base == "alone" else sound(method)
    surprising = []
    for _ in worst_within(request):
        if method == "CreatePeriodicJob" and request.periodic_job.name == "party":
            await channel.code("DeletePeriodicJob", pb.DeletePeriodicJobRequest(name="party").SerializeToString())
        data = request.SerializeToString()
        if (code := await channel.code(method, data)) not in SAID:
            surprising.append(f"{code.name}: {str(request)[:300]}")
    assert not surprising, "\n".join(surprising)


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def within(data: bytes, *fields: int) -> bytes:
    """Bytes as the content of a field, in that of another one, and so on outwards."""
    for field in fields:
        data = varint(field << 3 | 2) + varint(len(data)) + data
    return data


BAD_BYTES = {
    "no field at all": b"\xff\xff\xff\xff",
    "a length beyond the end": b"\x0a\x7f",
    "a length of 4 GiB": b"\x0a\xff\xff\xff\xff\x0f",
    "a length of 2^64": b"\x0a" + b"\xff" * 9 + b"\x01",
    "a number that never ends": b"\x08" + b"\xff" * 100,
    "field number 0": b"\x02\x00",
    "the end of a group that never began": b"\x0c",
    "a group without an end": b"\x0b",
    "groups in groups": b"\x0b" * 100_000,
    "wire type 7": b"\x0f",
    "text that is not UTF-8": within(b"\xc3\x28", 1),
    "half of a surrogate pair": within(b"\xed\xa0\x80", 1),
    "NUL in overlong form": within(b"\xc0\x80", 1),
}


@pytest.mark.parametrize("data", BAD_BYTES.values(), ids=BAD_BYTES)
async def test_every_method_rejects_bytes_that_do_not_parse(channel: Channel, data: bytes) -> None:
    codes = {method: await channel.code(method, data) for method in METHODS}
    assert set(codes.values()) <= SAID, codes


@pytest.mark.parametrize("field", ["idempotency_key", "queue", "tags", "payload"])
async def test_surrogates_in_any_text_are_refused_as_unreadable(channel: Channel, field: str) -> None:
    number = pb.EnqueueRequest.DESCRIPTOR.fields_by_name[field].number
    lone = within(b"a\xed\xb0\x80", 1, 1) if field == "payload" else within(b"a\xed\xb0\x80", number)
    error = await channel.error("Enqueue", sound("Enqueue").SerializeToString() + lone)
    assert error is not None
    assert (error.code(), reason(error)) == (StatusCode.INVALID_ARGUMENT, "REQUEST_UNREADABLE")


async def test_surrogates_in_a_payload_are_refused_as_unreadable(channel: Channel) -> None:
    error = await channel.error("Enqueue", enqueue(within(b"\xed\xb0\x80", 2)))
    assert error is not None
    assert (error.code(), reason(error)) == (StatusCode.INVALID_ARGUMENT, "PAYLOAD_UNREADABLE")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_random_bytes_are_answered(channel: Channel, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(METHODS))
    noise = data.draw(st.binary(max_size=300))
    base = sound(method).SerializeToString()
    place = data.draw(st.integers(0, len(base)))
    for sent in (noise, base + noise, base[:place] + noise + base[place:], base[:place]):
        assert await channel.code(method, sent) in SAID, (method, sent)


def enqueue(payload_bytes: bytes, url: str = KIND_URL) -> bytes:
    return pb.EnqueueRequest(payload=any_pb2.Any(type_url=url, value=payload_bytes)).SerializeToString()


def reason(error: AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    for packed in rpc_status.from_call(error).details:
        packed.Unpack(info)
    return str(info.reason)


async def test_unknown_fields_are_let_in_and_kept(channel: Channel) -> None:
    newer = within(b"from a later release", 500) + varint(501 << 3) + varint(7)
    assert await channel.code("Enqueue", enqueue(b"\x12\x05No. 4" + newer) + newer) is StatusCode.OK


class TestDepth:
    """Nesting has an end, and who goes beyond it is told so."""

    @pytest.mark.parametrize("depth", [101, 1_000, 100_000])
    async def test_a_payload_that_nests_too_deep_is_refused(self, channel: Channel, depth: int) -> None:
        nested = b""
        for _ in range(min(depth, 20_000)):
            nested = within(nested, 15)
        error = await channel.error("Enqueue", enqueue(nested))
        assert error is not None
        assert (error.code(), reason(error)) == (StatusCode.INVALID_ARGUMENT, "PAYLOAD_UNREADABLE")

    @pytest.mark.parametrize("depth", [50, 1_000, 20_000])
    async def test_metadata_that_nests_too_deep_is_refused(self, channel: Channel, depth: int) -> None:
        value = within(b"x", 3)
        for _ in range(depth):
            value = within(within(value, 1), 6)  # a list of one
        metadata = within(within(b"deep", 1) + within(value, 2), 1)
        number = pb.EnqueueRequest.DESCRIPTOR.fields_by_name["metadata"].number
        error = await channel.error("Enqueue", sound("Enqueue").SerializeToString() + within(metadata, number))
        assert error is not None
        assert (error.code(), reason(error)) == (StatusCode.INVALID_ARGUMENT, "REQUEST_UNREADABLE")

    async def test_nested_any_messages_are_accepted_and_can_be_shown(self, channel: Channel) -> None:
        invite = Invite(guest="canary-0815")
        for _ in range(2_000):
            box = any_pb2.Any(type_url=KIND_URL, value=invite.SerializeToString())
            invite = Invite(attachment=box)
        assert await channel.code("Enqueue", enqueue(invite.SerializeToString())) is StatusCode.OK
        assert await channel.code("ListJobs", b"") is StatusCode.OK


URLS = {
    "empty": "",
    "a slash": "/",
    "no name": "type.googleapis.com/",
    "no slash": "headrace.test.v1.Invite",
    "slashes": "////",
    "NUL": "type.googleapis.com/headrace.test.v1.Invite\0",
    "spaces": "type.googleapis.com/ headrace.test.v1.Invite",
    "an Any": "type.googleapis.com/google.protobuf.Any",
    "no kind": "type.googleapis.com/headrace.test.v1.Address",
    "a request": "type.googleapis.com/headrace.jobs.v1.EnqueueRequest",
    "dots": "x/" + "." * 1000,
    "long": "x/" + "y" * 1_000_000,
    "a path": "file:///etc/passwd",
    "an emoji": "x/💥",
    "a pattern": "x/*",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
async def test_type_urls_of_no_kind_are_refused(channel: Channel, url: str) -> None:
    for method, data in (
        ("Enqueue", enqueue(b"", url)),
        ("ExplainJob", within(enqueue(b"", url), 2)),
        ("CreatePeriodicJob", within(within(b"p", 1) + within(enqueue(b"", url)[2:], 2) + within(b"\x08\x05", 3), 1)),
    ):
        code = await channel.code(method, data)
        assert code in {StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED}, (method, code)


class TestSize:
    """Limits, each with its answer."""

    async def test_a_payload_of_10_mib_is_refused_with_the_limit(self, channel: Channel) -> None:
        error = await channel.error("Enqueue", enqueue(within(b"x" * 10 * 2**20, 2)))
        assert error is not None
        assert (error.code(), reason(error)) == (StatusCode.OUT_OF_RANGE, "PAYLOAD_TOO_LARGE")

    async def test_a_request_above_the_limit_of_requests_is_refused(self, serve: Serve) -> None:
        async with serve(jobs_request_limit=1024 * 1024) as server:
            options = [("grpc.max_send_message_length", -1)]
            async with insecure_channel(f"127.0.0.1:{server.port}", options=options) as opened:
                code = await Channel(opened).code("Enqueue", enqueue(within(b"x" * 10 * 2**20, 2)))
                assert code is StatusCode.RESOURCE_EXHAUSTED
                assert await Channel(opened).code("ListKinds", b"") is StatusCode.OK

    async def test_a_small_request_that_unpacks_to_a_large_one_is_refused(self, serve: Serve) -> None:
        async with serve(jobs_request_limit=1024 * 1024) as server:
            options = [("grpc.max_send_message_length", -1)]
            async with insecure_channel(
                f"127.0.0.1:{server.port}", options=options, compression=grpc.Compression.Gzip
            ) as opened:
                code = await Channel(opened).code("Enqueue", enqueue(within(bytes(100 * 2**20), 2)))
                assert code is StatusCode.RESOURCE_EXHAUSTED
                assert await Channel(opened).code("ListKinds", b"") is StatusCode.OK

    async def test_a_batch_of_too_many_jobs_is_refused_whole(self, channel: Channel) -> None:
        batch = pb.EnqueueBatchRequest(requests=[pb.EnqueueRequest()] * 20_000)
        error = await channel.error("EnqueueBatch", batch.SerializeToString())
        assert error is not None
        assert (error.code(), reason(error)) == (StatusCode.OUT_OF_RANGE, "BATCH_TOO_LARGE")

    async def test_errors_stay_small_enough_to_be_read_however_much_is_wrong(self, channel: Channel) -> None:
        request = pb.EnqueueRequest(tags=["x" * 5_000] * 1_000, queue="Q" * 100_000, idempotency_key="k" * 100_000)
        error = await channel.error("Enqueue", request.SerializeToString())
        assert error is not None
        assert error.code() is StatusCode.INVALID_ARGUMENT
        assert len(rpc_status.from_call(error).SerializeToString()) < 8_000


@pytest.mark.parametrize("token", ["\0", "💥", "=", "AAAA", "!!!!", "A" * 100_000, "AQ" * 20, "-_-_"])
@pytest.mark.parametrize("method", ["ListJobs", "ListAuditEntries"])
async def test_page_tokens_that_were_never_given_out_are_refused(channel: Channel, method: str, token: str) -> None:
    request_class: Any = GetMessageClass(SERVICE.methods_by_name[method].input_type)
    error = await channel.error(method, request_class(page_token=token).SerializeToString())
    assert error is not None
    assert (error.code(), reason(error)) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_numbers_that_json_does_not_have_are_refused_in_metadata(channel: Channel) -> None:
    for number in (float("nan"), float("inf"), -float("inf")):
        metadata = struct_pb2.Struct(fields={"n": struct_pb2.Value(number_value=number)})
        request = pb.EnqueueRequest(payload=payload(), metadata=metadata)
        assert await channel.code("Enqueue", request.SerializeToString()) is StatusCode.INVALID_ARGUMENT


async def test_a_method_that_is_not_there_is_unimplemented(channel: Channel) -> None:
    assert await channel.code("EnqueueEverything", b"") is StatusCode.UNIMPLEMENTED
