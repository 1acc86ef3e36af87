"""The port of each listener: the requested one, or a free one that no other copy of the stack takes."""

import os
import random
import socket
from collections.abc import Iterable, Iterator, Mapping

# Below the ephemeral range (Linux from 32768, others from 49152), so that no outgoing connection takes a port between
# our check and the process that listens on it.
FREE_PORTS = range(20_000, 32_000)
HOST = "127.0.0.1"


def reach_directly() -> None:
    """Makes this process and its children connect to HOST without the environment's proxy.

    gRPC and httpx would use the proxy for loopback addresses too, unlike browsers and curl.
    """
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, HOST]))


class PortError(ValueError):
    """A requested port has no listener, or is in use; the text says which."""


class Ports(Mapping[str, int]):
    """The port of each listener, by the listener's name; held until `release`.

    A reservation is a UDP socket with the same number. It doesn't block the process, which listens on TCP. Another copy
    of the stack can't make the same reservation. And it ends with this process.

    Args:
        names: The listeners.
        wanted: Requested ports; the other listeners get free ones.

    Raises:
        PortError: A requested port is in use, or has no listener.
    """

    def __init__(self, names: Iterable[str], wanted: Mapping[str, int]) -> None:
        names = list(names)
        if unknown := wanted.keys() - set(names):
            raise PortError(f"no listener is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
        self._held: list[socket.socket] = []
        self._ports = {name: self._reserve(name, port) for name, port in wanted.items()}
        self._ports |= {name: self._find() for name in names if name not in wanted}

    def __getitem__(self, name: str) -> int:
        return self._ports[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ports)

    def __len__(self) -> int:
        return len(self._ports)

    def release(self) -> None:
        """Releases the reservations."""
        for held in self._held:
            held.close()

    def _reserve(self, name: str, port: int) -> int:
        if not self._reserved(port):
            raise PortError(f"{name}: port {port} is in use; choose another one, or leave it out for a free one")
        return port

    def _find(self) -> int:
        candidates = random.sample(FREE_PORTS, 200)
        for port in candidates:
            if self._reserved(port):
                return port
        raise PortError(f"no free port among 200 tried between {FREE_PORTS.start} and {FREE_PORTS.stop}")

    def _reserved(self, port: int) -> bool:
        """Reserves a port if it is free, and reports whether it was."""
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind((HOST, port))
            # Without SO_REUSEPORT, so that a listener with it is detected, too.
            with socket.create_server((HOST, port)):
                pass
        except OSError:
            held.close()
            return False
        self._held.append(held)
        return True
