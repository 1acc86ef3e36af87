"""Which port each listener gets."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from local_stack.stack.ports import Ports, reach_directly

NAMES = ("api", "jobs", "mail")


def test_two_copies_of_the_stack_get_different_ports() -> None:
    copies = [Ports([f"listener-{number}" for number in range(200)], {}) for _ in range(2)]

    taken = [port for copy in copies for port in copy.values()]

    assert len(set(taken)) == len(taken)
    for copy in copies:
        copy.release()


def test_a_reserved_port_can_be_listened_on_by_its_part() -> None:
    ports = Ports(NAMES, {})

    with socket.create_server(("127.0.0.1", ports["api"])) as listener:
        assert listener.getsockname()[1] == ports["api"]
    ports.release()


def test_a_port_that_was_asked_for_is_given() -> None:
    free = Ports(NAMES, {})
    wanted = free["mail"]
    free.release()

    ports = Ports(NAMES, {"mail": wanted})

    assert ports["mail"] == wanted
    ports.release()


def test_a_port_in_use_is_refused_by_its_listeners_name() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ValueError, match=f"mail: port {listener.getsockname()[1]} is in use"),
    ):
        Ports(NAMES, {"mail": listener.getsockname()[1]})


def test_a_port_for_no_listener_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"no listener is named mails; there are api, jobs, mail"):
        Ports(NAMES, {"mails": 80})


def test_a_proxy_of_the_environment_is_not_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.com")
    monkeypatch.setenv("NO_PROXY", "")
    reach_directly()
    reach_directly()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == ("example.com,127.0.0.1", "127.0.0.1")
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(10)
    server.stop(None)
