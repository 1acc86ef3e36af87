"""Who may call the jobs service, how each caller is known, and what each may do. `callers_file` reads them."""

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
            raise ValueError("expected token_sha256 or identities: nobody could be known as this caller")
        if self.burst is not None and self.rate is None:
            raise ValueError("burst: needs rate")
        return self

    @property
    def capacity(self) -> float:
        """How many calls may come at once after a pause; a second's worth unless said otherwise."""
        return float(self.burst or math.ceil(self.rate or 1))

    def may_enqueue(self, kind: str) -> bool:
        """Says whether jobs of a kind are accepted from this caller."""
        return _fits(kind, self.kinds)

    def may_use_queue(self, queue: str) -> bool:
        """Says whether this caller's jobs may stand in a queue."""
        return _fits(queue, self.queues)

    def may_call(self, method: str) -> bool:
        """Says whether a method ("Enqueue") is open to this caller."""
        return ANY in self.methods or method in self.methods

    def require_kind(self, kind: str, *, names: Sequence[str]) -> None:
        """Checks that this caller may enqueue jobs of a kind, by one of all the names that it has, or has had.

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
        """Checks that this caller's jobs may stand in a queue.

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
        """Checks that a method ("Enqueue") is open to this caller.

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
        """Says whether a name in a certificate ("dns:api.example.com") is one of this caller's."""
        return any(pattern.fullmatch(identity) for pattern in self._identities)

    @cached_property
    def _identities(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_pattern(identity) for identity in self.identities)


@lru_cache(maxsize=4096)  # asked of every job, and nearly always of the same names
def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _pattern(identity: str) -> re.Pattern[str]:
    """A star stands for a part of a name: no dot or slash in "dns:*.example.com", no slash in "uri:spiffe://d/ns/*"."""
    part = "[^/]*" if identity.startswith("uri:") else "[^./@]*"
    return re.compile(part.join(re.escape(piece) for piece in identity.split("*")))


class Callers:
    """All callers that are known now."""

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._set(callers)

    def _set(self, callers: Iterable[Caller]) -> None:
        self._callers = {caller.name: caller for caller in callers}
        self._tokens = Tokens({name: caller.token_sha256 for name, caller in self._callers.items()})
        self.by_certificate = any(caller.identities for caller in self._callers.values())
        """Whether somebody is known by a certificate."""

    def replace(self, callers: Iterable[Caller]) -> None:
        """From now on these are all. A call that is being answered goes on as it began."""
        self._set(callers)

    def __getitem__(self, name: str) -> Caller:
        return self._callers[name]

    @property
    def all(self) -> tuple[Caller, ...]:
        """Each of them, in the file's order."""
        return tuple(self._callers.values())

    def of_token(self, call: Call) -> Caller:
        """The caller whose token a call carries.

        Raises:
            RpcError: UNAUTHENTICATED.
        """
        return self._callers[self._tokens.owner(call)]

    def of_certificate(self, peer: Mapping[str, Iterable[bytes]]) -> Caller:
        """The caller that a connection's certificate names: the first in the file, should it name several.

        Args:
            peer: What gRPC says of the other end (`ServicerContext.auth_context`).

        Raises:
            RpcError: UNAUTHENTICATED: there is no certificate, or it names none.
        """
        identities = read_identities(peer)
        for caller in self._callers.values():
            if any(caller.is_known_by(identity) for identity in identities):
                return caller
        if not identities:
            raise RpcError(
                grpc.StatusCode.UNAUTHENTICATED,
                'The call carries neither a token nor a client certificate; send the header "authorization: Bearer '
                '<token>".',
                error_info("TOKEN_MISSING"),
            )
        raise RpcError(
            grpc.StatusCode.UNAUTHENTICATED,
            f"No caller is known by this certificate's names: {', '.join(identities)[:300]}.",
            error_info("IDENTITY_UNKNOWN", {"identities": ",".join(identities)}),
        )

    def current(self) -> Caller:
        """Answers the caller whose call is being answered, as it was known when the call began.

        Raises:
            LookupError: No call is being answered here.
        """
        return _current.get()

    @contextlib.contextmanager
    def calling(self, caller: Caller) -> Iterator[None]:
        """Makes a caller the current one for a block."""
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
