"""Hostile clients: what they do to connections and streams harms no other client.

Some things no gRPC client can be made to do; they are done frame by frame here (RFC 9113), with headers that need no
compression (RFC 7541, literals that are not indexed).
"""

import asyncio
import re
import resource
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, insecure_channel
from jobs_server_fixtures import ClientOf, JobsClient, Verification

from headrace.jobs.v1 import jobs_service_pb2 as pb
from jobs_service.server.program import JobsServer

PATH = "/headrace.jobs.v1.JobsService/ListKinds"
TOKEN = ("authorization", "Bearer api-token")
HEADERS = (
    *((":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", "localhost")),
    *(("te", "trailers"), ("content-type", "application/grpc"), TOKEN),
)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADER, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
GRPC_STATUS = re.compile(rb"grpc-status[\1\2](\d+)")
"""In headers as gRPC sends them: a literal, where nothing was sent before."""
CODES = {code.value[0]: code for code in StatusCode}
EMPTY_MESSAGE = b"\0\0\0\0\0"


def frame(kind: int, flags: int = 0, stream: int = 0, content: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content


def literals(*headers: tuple[str, str]) -> bytes:
    """Headers without compression."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in headers)


def _string(text: str) -> bytes:
    data, length = text.encode(), len(text.encode())
    if length < 127:
        return bytes([length]) + data
    rest, prefix = length - 127, bytearray([127])
    while rest > 127:
        prefix.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*prefix, rest]) + data


def call(stream: int = 1, headers: Any = HEADERS, message: bytes = EMPTY_MESSAGE) -> bytes:
    """The frames of a whole call."""
    return frame(HEADER, END_HEADERS, stream, literals(*headers)) + frame(DATA, END_STREAM, stream, message)


class Wire:
    """A connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.code: StatusCode | None = None
        """The last status that a call was answered with."""

    async def send(self, data: bytes) -> None:
        """Sends bytes; that the server hangs up meanwhile is fine."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    async def until(self, *kinds: int, stream: int | None = None) -> int | None:
        """Reads on to the end of a stream, or a frame of one of these kinds; None where the server hangs up first."""
        async with asyncio.timeout(20):
            while True:
                try:
                    head = await self._reader.readexactly(9)
                    length = int.from_bytes(head[:3])
                    content = await self._reader.readexactly(length)
                except (asyncio.IncompleteReadError, ConnectionError):
                    return None
                kind, flags, number = head[3], head[4], int.from_bytes(head[5:])
                if kind == HEADER and (told := GRPC_STATUS.search(content)):
                    self.code = CODES[int(told[1])]
                if kind in kinds or (stream == number and kind in (DATA, HEADER) and flags & END_STREAM):
                    return kind


OpenWire = Callable[..., AbstractAsyncContextManager[Wire]]


@pytest.fixture
def wire(jobs_server: JobsServer) -> OpenWire:
    """Connections to the server."""

    @asynccontextmanager
    async def connected(*, greet: bool = True) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", jobs_server.port)
        try:
            opened = Wire(reader, writer)
            if greet:
                await opened.send(PREFACE + frame(SETTINGS))
            yield opened
        finally:
            writer.close()

    return connected


@pytest.fixture(autouse=True)
async def _server_lives(
    jobs_server: JobsServer, client_of: ClientOf, verification: Verification
) -> AsyncIterator[None]:
    """Whatever a test has done, another client can enqueue a job."""
    yield
    async with client_of(jobs_server) as jobs:
        assert (await jobs.Enqueue(verification(), timeout=20)).job_id


async def test_frames_of_this_file_make_a_sound_call(wire: OpenWire) -> None:
    async with wire() as opened:
        await opened.send(call())
        assert await opened.until(RESET, GOAWAY, stream=1) in (DATA, HEADER)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,  # how TLS begins
        b"\0" * 100_000,
        b"\xff" * 100_000,
        PREFACE[:-1] + b"X",
    ],
    ids=["HTTP/1.1", "TLS", "zeros", "ones", "a bad preface"],
)
async def test_the_server_closes_connections_that_do_not_speak_http2(wire: OpenWire, data: bytes) -> None:
    async with wire(greet=False) as opened:
        await opened.send(data)
        assert await opened.until(GOAWAY) in (GOAWAY, None)


ENDED = (RESET, GOAWAY, DATA, HEADER, None)


@pytest.mark.parametrize(
    "data",
    [
        frame(HEADER, END_HEADERS, 1, b"\xff" * 200),
        frame(HEADER, END_HEADERS, 2, literals(*HEADERS)),
        frame(HEADER, END_HEADERS, 0, literals(*HEADERS)),
        frame(HEADER, 0, 1, literals(*HEADERS)) + frame(PING, 0, 0, b"8 bytes!"),
        frame(DATA, END_STREAM, 7, EMPTY_MESSAGE),
        frame(WINDOW, 0, 0, b"\0\0\0\0"),
        frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 3,
        frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)),
        frame(SETTINGS, 0, 0, b"five!"),
        frame(HEADER, END_HEADERS, 1, literals(*HEADERS)) + b"\xff\xff\xff" + struct.pack(">BBI", DATA, 0, 1),
    ],
    ids=[
        *("headers that can't be unpacked", "a stream of the server's", "stream 0", "a ping within headers"),
        *("data without headers", "a window of 0", "a window beyond its end", "frames of 1 byte"),
        *("settings cut short", "a frame of 16 MiB"),
    ],
)
async def test_broken_frames_end_the_connection_or_are_passed_over(wire: OpenWire, data: bytes) -> None:
    async with wire() as opened:
        await opened.send(data + call(9))
        assert await opened.until(RESET, GOAWAY, stream=9) in ENDED


def other(**changed: str) -> tuple[tuple[str, str], ...]:
    """The headers of a call, some of them changed: underscores stand for dashes, `P_x` for ":x"."""
    renamed = {name.replace("P_", ":").replace("_", "-"): value for name, value in changed.items()}
    kept = [(name, renamed.pop(name, value)) for name, value in HEADERS]
    return (*kept, *renamed.items())


UNREADABLE = [
    other(te="nothing"),
    other(grpc_encoding="nonsense"),
    other(grpc_timeout="never"),
    other(grpc_timeout="-1S"),
    other(trace_bin="no Base64!"),
    (*HEADERS, *HEADERS),
]
"""gRPC answers these by itself, with INTERNAL, before anything of ours hears of them. docs/clients.md says so."""


@pytest.mark.parametrize(
    "headers",
    [
        *UNREADABLE,
        other(content_type="application/json"),
        other(content_type="text/html"),
        other(content_type=""),
        other(P_method="GET"),
        other(P_path="/"),
        other(P_path=""),
        other(P_path=PATH.replace("/", "//")),
        other(P_path="/" + "x" * 3000),
        other(grpc_timeout="99999999H"),
        other(authorization="Bearer \xff\xfe"),
        other(traceparent="00-" + "f" * 200),
        other(baggage="," * 5000),
        tuple(header for header in HEADERS if header[0] != ":path"),
    ],
    ids=lambda headers: str([value[:20] for value in dict(headers).items() if value not in HEADERS])[:60],
)
async def test_strange_headers_are_answered_or_reset(wire: OpenWire, headers: Any) -> None:
    async with wire() as opened:
        await opened.send(call(headers=headers))
        assert await opened.until(RESET, GOAWAY, stream=1) in ENDED
        assert opened.code is not StatusCode.UNKNOWN
        assert opened.code is not StatusCode.INTERNAL or headers in UNREADABLE


async def test_headers_of_2_mib_are_read_and_thrown_away(wire: OpenWire) -> None:
    async with wire() as opened:
        await opened.send(frame(HEADER, 0, 1, literals(*HEADERS)))
        endless = literals(*((f"x-{number}", "y" * 1000) for number in range(10)))
        for _ in range(200):
            await opened.send(frame(CONTINUATION, 0, 1, endless))
        await opened.send(frame(CONTINUATION, END_HEADERS, 1) + call(3))
        assert await opened.until(GOAWAY, stream=3) in ENDED


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(b"", StatusCode.INVALID_ARGUMENT, id="none"),
        pytest.param(b"\0\0\0", StatusCode.INVALID_ARGUMENT, id="half a prefix"),
        pytest.param(b"\0\0\0\0\x05ab", StatusCode.INVALID_ARGUMENT, id="too short"),
        pytest.param(b"\0\xff\xff\xff\xff", StatusCode.RESOURCE_EXHAUSTED, id="4 GiB"),
        # "MUST be INTERNAL": https://github.com/grpc/grpc/blob/master/doc/compression.md
        pytest.param(b"\1\0\0\0\x04\xff\xff\xff\xff", StatusCode.INTERNAL, id="compressed by nothing"),
        pytest.param(b"\2\0\0\0\0", StatusCode.OK, id="a strange flag"),
        pytest.param(EMPTY_MESSAGE * 3, StatusCode.OK, id="three"),
    ],
)
async def test_a_stream_without_a_whole_message_gets_a_response_and_harms_no_other(
    wire: OpenWire, message: bytes, code: StatusCode
) -> None:
    async with wire() as opened:
        await opened.send(call(message=message))
        assert await opened.until(RESET, GOAWAY, stream=1) in (HEADER, RESET)
        assert opened.code is code
        await opened.send(call(3))
        assert await opened.until(GOAWAY, stream=3) in (DATA, HEADER)


async def test_streams_that_never_end_take_no_place_from_others(wire: OpenWire, jobs: JobsClient) -> None:
    async with wire() as opened:
        for stream in range(1, 400, 2):
            await opened.send(frame(HEADER, END_HEADERS, stream, literals(*HEADERS)))
        assert (await jobs.ListKinds(pb.ListKindsRequest(), timeout=10)).kinds


async def test_calls_reset_as_soon_as_they_are_made_disturb_no_other_client(wire: OpenWire, jobs: JobsClient) -> None:
    async with wire() as opened:
        for stream in range(1, 6_000, 2):
            await opened.send(call(stream) + frame(RESET, 0, stream, struct.pack(">I", 8)))
        assert (await jobs.ListKinds(pb.ListKindsRequest(), timeout=10)).kinds


async def test_endless_pings_disturb_no_other_client(wire: OpenWire, jobs: JobsClient) -> None:
    async with wire() as opened:
        await opened.send(frame(PING, 0, 0, b"8 bytes!") * 20_000)
        assert (await jobs.ListKinds(pb.ListKindsRequest(), timeout=10)).kinds


class TestOrdinaryClients:
    """What any gRPC library can be told to do."""

    async def code(self, server: JobsServer, *messages: bytes, method: str = PATH, **options: Any) -> StatusCode:
        """What the server answers to a stream of messages."""
        async with insecure_channel(f"127.0.0.1:{server.port}", options=[("grpc.max_metadata_size", 2**20)]) as channel:
            # One message goes as a unary call: a stream whose deadline passes while it is being written is given up
            # inside grpcio with a bare CancelledError now and then, and no code to look at.
            one = len(messages) == 1
            send: Any = channel.unary_unary(method) if one else channel.stream_unary(method)
            try:
                await send(messages[0] if one else _each(messages), **{"metadata": (TOKEN,), "timeout": 10, **options})
            except AioRpcError as error:
                return error.code()
        return StatusCode.OK

    async def test_two_messages_in_one_call_are_refused_or_the_first_is_taken(self, jobs_server: JobsServer) -> None:
        assert await self.code(jobs_server, b"", b"") in {StatusCode.OK, StatusCode.INVALID_ARGUMENT}

    @pytest.mark.parametrize(
        "value",
        ["", "Bearer", "Bearer ", "bearer", "Basic api-token", "Bearer unknown", "Bearer " + "x" * 4000, "api-token"],
    )
    async def test_an_unknown_token_is_unauthenticated(self, jobs_server: JobsServer, value: str) -> None:
        code = await self.code(jobs_server, b"", metadata=(("authorization", value),))
        assert code is StatusCode.UNAUTHENTICATED

    async def test_no_token_is_unauthenticated_before_the_request_is_read(self, jobs_server: JobsServer) -> None:
        assert await self.code(jobs_server, b"x" * 3_000_000, metadata=()) is StatusCode.UNAUTHENTICATED

    async def test_metadata_that_is_too_large_is_refused(self, jobs_server: JobsServer) -> None:
        huge = ("x-huge", "y" * 200_000)
        code = await self.code(jobs_server, b"", metadata=(TOKEN, huge))
        assert code is StatusCode.RESOURCE_EXHAUSTED

    async def test_many_headers_do_no_harm(self, jobs_server: JobsServer) -> None:
        many = tuple((f"x-{number}", "y") for number in range(150))
        code = await self.code(jobs_server, b"", metadata=(TOKEN, *many))
        assert code in {StatusCode.OK, StatusCode.RESOURCE_EXHAUSTED}

    @pytest.mark.parametrize("seconds", [0, -1, 1e-6])
    async def test_a_deadline_that_has_passed_is_told(self, jobs_server: JobsServer, seconds: float) -> None:
        assert await self.code(jobs_server, b"", timeout=seconds) is StatusCode.DEADLINE_EXCEEDED

    @pytest.mark.parametrize(
        "method", ["/", "/x", "/headrace.jobs.v1.JobsService/", "/headrace.jobs.v1.JobsService/Drop"]
    )
    async def test_methods_that_are_not_there_are_unimplemented(self, jobs_server: JobsServer, method: str) -> None:
        assert await self.code(jobs_server, b"", method=method) is StatusCode.UNIMPLEMENTED


async def _each(messages: tuple[bytes, ...]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of 500 connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_500_connections_are_served_beside_500_that_say_nothing(
    jobs_server: JobsServer, wire: OpenWire, many_files: None
) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", jobs_server.port) for _ in range(500)]

    async def one_call() -> int | None:
        async with wire() as opened:
            await opened.send(call())
            answer: int | None = await opened.until(RESET, GOAWAY, stream=1)
            return answer

    answers = await asyncio.gather(*(one_call() for _ in range(500)))
    assert set(answers) <= {DATA, HEADER}
    for _, writer in silent:
        writer.close()
