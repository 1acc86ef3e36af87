"""Which port each listener has: the one that was asked for, or a free one that no other copy of the stack will take."""

import os
import random
import socket
from collections.abc import Iterable, Iterator, Mapping

# Below the range that systems hand out by themselves (Linux from 32768, others from 49152), so that no outgoing
# connection takes a port between our finding it free and its part's listening on it.
FREE_PORTS = range(20_000, 32_000)
HOST = "127.0.0.1"


def reach_directly() -> None:
    """Has this process and its children reach HOST without the proxy that the environment may name.

    gRPC and httpx would ask it, unlike browsers and curl, which know what loopback is.
    """
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, HOST]))


class PortError(ValueError):
    """A port was asked for that there is no listener for, or that is in use; the text says which."""


class Ports(Mapping[str, int]):
    """The port of each listener, by the listener's name; held until `release`.

    A reservation is a UDP socket on the same number. It doesn't get in the way of the part, which listens on TCP;
    another copy of the stack can't make the same reservation; and it is gone when this process is.

    Args:
        names: The listeners.
        wanted: Ports that were asked for; the others get free ones.

    Raises:
        PortError: A wanted port is in use, or named for no listener.
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
        """Gives the reservations back."""
        for held in self._held:
            held.close()

    def _reserve(self, name: str, port: int) -> int:
        if not self._taken(port):
            raise PortError(f"{name}: port {port} is in use; name another one, or none to get a free one")
        return port

    def _find(self) -> int:
        candidates = random.sample(FREE_PORTS, 200)
        for port in candidates:
            if self._taken(port):
                return port
        raise PortError(f"no free port among 200 tried between {FREE_PORTS.start} and {FREE_PORTS.stop}")

    def _taken(self, port: int) -> bool:
        """Takes a port where it is free."""
        held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            held.bind((HOST, port))
            # Without SO_REUSEPORT, so that a listener which set it is seen all the same.
            with socket.create_server((HOST, port)):
                pass
        except OSError:
            held.close()
            return False
        self._held.append(held)
        return True
