"""A channel whose certificates are files: when they change, calls go over a new channel, and the old one is closed.

gRPC reads a channel's certificates only once. So this channel wraps another, and checks the files before a call, at
most once a second. Calls in progress finish on the channel they started on.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
import structlog

from headrace.chassis.tls.certificates import CertificatesError, ClientTls
from headrace.chassis.tls.watched_files import file_signature

log = structlog.get_logger()

LOOK_SECONDS = 1.0
# How long calls in progress may take to finish on a channel with old certificates.
CLOSE_GRACE_SECONDS = 30.0

OpenChannel = Callable[[grpc.ChannelCredentials], grpc.aio.Channel]


class RenewingChannel(grpc.aio.Channel):
    """Opens a new channel when the certificates have changed; unusable certificates are ignored."""

    def __init__(self, tls: ClientTls, open_with: OpenChannel) -> None:
        """Opens the first channel.

        Raises:
            CertificatesError: The files can't be used.
        """
        self._tls = tls
        self._open_with = open_with
        self._known = file_signature(*tls.files)
        self._current = open_with(tls.credentials())
        self._looked_at = time.monotonic()
        self._closing: set[asyncio.Task[None]] = set()

    def current(self) -> grpc.aio.Channel:
        """The channel for a call that starts now."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._renew()
        return self._current

    def _renew(self) -> None:
        found = file_signature(*self._tls.files)
        if found == self._known:
            return
        try:
            credentials = self._tls.credentials()
        except CertificatesError as refused:
            log.error("new certificates refused, the previous ones stay in use", reason=str(refused))
            return
        self._known = found
        old, self._current = self._current, self._open_with(credentials)
        task = asyncio.get_running_loop().create_task(old.close(CLOSE_GRACE_SECONDS), name="close renewed channel")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        log.info("certificates renewed", files=[str(path) for path in self._tls.files])

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> "RenewingCall":  # type: ignore[override]
        """Called by generated stubs, once for each method."""
        return RenewingCall(self, "unary_unary", method, args, kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> "RenewingCall":  # type: ignore[override]
        """Used by reflection."""
        return RenewingCall(self, "stream_stream", method, args, kwargs)

    def unary_stream(self, method: str, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Not supported: the services have no such methods, and clients here don't use health's Watch."""
        raise NotImplementedError(
            f"{method}: a channel that renews its certificates doesn't support calls of this form"
        )

    stream_unary = unary_stream

    async def close(self, grace: float | None = None) -> None:
        """Closes all open channels; calls in progress get `grace` seconds."""
        closing = list(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(self._current.close(grace), *closing, return_exceptions=True)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the current channel."""
        return self._current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits for another state of the current channel."""
        await self._current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the current channel is connected."""
        await self._current.channel_ready()

    async def __aenter__(self) -> "RenewingChannel":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


class RenewingCall:
    """A method of a stub. It uses the current channel for each call."""

    def __init__(
        self, owner: RenewingChannel, form: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """`form` is the channel's function that makes the call: "unary_unary"."""
        self._owner = owner
        self._form = form
        self._method = method
        self._args = args
        self._kwargs = kwargs
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(self, request: Any = None, **options: Any) -> Any:
        """Starts a call."""
        channel = self._owner.current()
        if channel is not self._channel:
            self._channel = channel
            self._call = getattr(channel, self._form)(self._method, *self._args, **self._kwargs)
        return self._call(request, **options)
