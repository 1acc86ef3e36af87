"""The callers of the jobs service: how each is identified, and what it may do. `file.py` reads them."""

import contextlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import Annotated, Self

import grpc
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from headrace.chassis.rpc.errors import RpcError, error_info
from headrace.chassis.rpc.interceptors import Call
from headrace.chassis.rpc.tokens import Tokens, is_token_hash
from headrace.jobs.v1 import jobs_service_pb2

SERVICE = jobs_service_pb2.DESCRIPTOR.services_by_name["JobsService"]
METHODS = tuple(method.name for method in SERVICE.methods)
ANY = "*"
IDENTITY_SORTS = ("dns", "uri", "email", "cn")

_current: ContextVar["Caller"] = ContextVar("caller")


def _hash(text: str) -> str:
    if not is_token_hash(text):
        raise ValueError("expected a token's SHA-256 as 64 lower-case hex digits")
    return text


def _method(name: str) -> str:
    if name != ANY and name not in METHODS:
        raise ValueError(f'expected "*" or methods of JobsService: {", ".join(METHODS)}')
    return name


def _identity(pattern: str) -> str:
    sort, _, name = pattern.partition(":")
    if sort not in IDENTITY_SORTS or not name.strip("*"):
        raise ValueError(
            'expected a name in a certificate, for example "dns:api.example.com", "uri:spiffe://…", "cn:api"'
        )
    return pattern


class Caller(BaseModel):
    """A program that may call, and what it may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    token_sha256: tuple[Annotated[str, AfterValidator(_hash)], ...] = ()
    identities: tuple[Annotated[str, AfterValidator(_identity)], ...] = ()
    kinds: tuple[Annotated[str, Field(pattern=r"^(\*|[A-Za-z_][\w.]*(\.\*)?)$")], ...]
    queues: tuple[Annotated[str, Field(pattern=r"^(\*|[a-z0-9][a-z0-9_.-]*\*?)$")], ...] = (ANY,)
    methods: tuple[Annotated[str, AfterValidator(_method)], ...]
    see_redacted: bool = False
    rate: Annotated[float, Field(ge=1e-6, allow_inf_nan=False)] | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    in_flight: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.token_sha256 and not self.identities:
            raise ValueError("expected token_sha256 or identities, by which calls of this caller are identified")
        if self.burst is not None and self.rate is None:
            raise ValueError("burst: needs rate")
        return self

    @property
    def capacity(self) -> float:
        """How many calls are allowed at once after a pause: `burst`, or by default what `rate` allows per second."""
        return float(self.burst or math.ceil(self.rate or 1))

    def may_enqueue(self, kind: str) -> bool:
        """Reports whether this caller may enqueue jobs of a kind."""
        return _fits(kind, self.kinds)

    def may_use_queue(self, queue: str) -> bool:
        """Reports whether this caller may enqueue to a queue."""
        return _fits(queue, self.queues)

    def may_call(self, method: str) -> bool:
        """Reports whether this caller may call a method ("Enqueue")."""
        return ANY in self.methods or method in self.methods

    def require_kind(self, kind: str, *, names: Sequence[str]) -> None:
        """Checks that this caller may enqueue jobs of a kind, by its current name or a former one.

        Raises:
            RpcError: PERMISSION_DENIED (reason KIND_NOT_ALLOWED).
        """
        if not any(map(self.may_enqueue, names)):
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"The caller {self.name!r} may not enqueue {kind}.",
                error_info("KIND_NOT_ALLOWED", {"caller": self.name, "kind": kind}),
            )

    def require_queue(self, queue: str) -> None:
        """Checks that this caller may enqueue to a queue.

        Raises:
            RpcError: PERMISSION_DENIED (reason QUEUE_NOT_ALLOWED).
        """
        if not self.may_use_queue(queue):
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"The caller {self.name!r} may not enqueue to the queue {queue!r}.",
                error_info("QUEUE_NOT_ALLOWED", {"caller": self.name, "queue": queue}),
            )

    def require_method(self, method: str) -> None:
        """Checks that this caller may call a method ("Enqueue").

        Raises:
            RpcError: PERMISSION_DENIED (reason METHOD_NOT_ALLOWED).
        """
        if not self.may_call(method):
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"The caller {self.name!r} may not call {method}.",
                error_info("METHOD_NOT_ALLOWED", {"caller": self.name, "method": method}),
            )

    def is_known_by(self, identity: str) -> bool:
        """Reports whether a name in a certificate ("dns:api.example.com") identifies this caller."""
        return any(pattern.fullmatch(identity) for pattern in self._identities)

    @cached_property
    def _identities(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_pattern(identity) for identity in self.identities)


@lru_cache(maxsize=4096)  # called for each job, nearly always with the same names
def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _pattern(identity: str) -> re.Pattern[str]:
    """A star matches a part of a name: no dot or slash in "dns:*.example.com", no slash in "uri:spiffe://d/ns/*"."""
    part = "[^/]*" if identity.startswith("uri:") else "[^./@]*"
    return re.compile(part.join(re.escape(piece) for piece in identity.split("*")))


class Callers:
    """All callers of the callers file."""

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._set(callers)

    def _set(self, callers: Iterable[Caller]) -> None:
        self._callers = {caller.name: caller for caller in callers}
        self._tokens = Tokens({name: caller.token_sha256 for name, caller in self._callers.items()})
        self.by_certificate = any(caller.identities for caller in self._callers.values())
        """Whether any caller is identified by a certificate."""

    def replace(self, callers: Iterable[Caller]) -> None:
        """Replaces all callers. A call in progress keeps the caller that it started with."""
        self._set(callers)

    def __getitem__(self, name: str) -> Caller:
        return self._callers[name]

    @property
    def all(self) -> tuple[Caller, ...]:
        """All callers, in the file's order."""
        return tuple(self._callers.values())

    def of_token(self, call: Call) -> Caller:
        """Returns the caller whose token a call has.

        Raises:
            RpcError: UNAUTHENTICATED.
        """
        return self._callers[self._tokens.owner(call)]

    def of_certificate(self, peer: Mapping[str, Iterable[bytes]]) -> Caller:
        """Returns the caller that a connection's certificate identifies; the first in the file if there are several.

        Args:
            peer: The connection's `ServicerContext.auth_context`.

        Raises:
            RpcError: UNAUTHENTICATED: there is no certificate, or it identifies no caller.
        """
        identities = read_identities(peer)
        for caller in self._callers.values():
            if any(caller.is_known_by(identity) for identity in identities):
                return caller
        if not identities:
            raise RpcError(
                grpc.StatusCode.UNAUTHENTICATED,
                'The call has neither a token nor a client certificate; send the header "authorization: Bearer '
                '<token>".',
                error_info("TOKEN_MISSING"),
            )
        raise RpcError(
            grpc.StatusCode.UNAUTHENTICATED,
            f"No caller has one of this certificate's names: {', '.join(identities)[:300]}.",
            error_info("IDENTITY_UNKNOWN", {"identities": ",".join(identities)}),
        )

    def current(self) -> Caller:
        """Returns the caller of the current call, as the file was when the call started.

        Raises:
            LookupError: There is no current call.
        """
        return _current.get()

    @contextlib.contextmanager
    def calling(self, caller: Caller) -> Iterator[None]:
        """Makes a caller the current one in a block."""
        token = _current.set(caller)
        try:
            yield
        finally:
            _current.reset(token)


def read_identities(peer: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Reads the names in a verified client certificate: "dns:api.example.com", "uri:spiffe://…", "cn:api"."""
    properties = {"dns": "peer_dns", "uri": "peer_uri", "email": "peer_email", "cn": "x509_common_name"}
    return [
        f"{sort}:{name.decode('utf-8', 'replace')}" for sort, key in properties.items() for name in peer.get(key, ())
    ]
