"""`jobs-server` as a process: started from the environment, refused by name, ended by a signal."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1.jobs_service_pb2 import ListKindsRequest
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.queue.db.migrate import up
from jobs_service.server.program import main

COMMAND = [sys.executable, "-c", "from jobs_service.server.program import main; main()"]


@pytest.fixture
def complete(tmp_path: Path) -> dict[str, str]:
    """Every variable that the server needs."""
    callers = tmp_path / "callers.toml"
    callers.write_text(
        f'[[callers]]\nname = "api"\ntoken_sha256 = ["{token_hash("t")}"]\nkinds = ["*"]\nmethods = ["*"]\n'
    )
    return {
        "JOBS_DATABASE_URL": "postgresql://unknown@127.0.0.1:1/nowhere",
        "JOBS_HASH_KEYS": base64.b64encode(b"0" * 32).decode(),
        "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
        "JOBS_CALLERS_FILE": str(callers),
        "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
    }


@pytest.fixture
def environment(complete: dict[str, str], database: str) -> dict[str, str]:
    """A complete environment, with a database."""
    return {**os.environ, **complete, "JOBS_DATABASE_URL": database}


@contextmanager
def running(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def line(process: "subprocess.Popen[str]", event: str) -> dict[str, Any]:
    assert process.stdout is not None
    for text in process.stdout:
        found: dict[str, Any] = json.loads(text)
        if found["event"] == event:
            return found
    raise AssertionError(f"the program ended without {event!r}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_until_it_is_told_to_end(
    environment: dict[str, str], database: str, number: signal.Signals
) -> None:
    up(database)
    with running(environment) as process:
        listening = line(process, "listening")
        assert listening["name"] == "grpc"
        line(process, "ready")
        with grpc.insecure_channel(listening["address"]) as channel:
            headers = (("authorization", "Bearer t"),)
            kinds = JobsServiceStub(channel).ListKinds(ListKindsRequest(), metadata=headers, timeout=10).kinds
        assert len(kinds) == 5
        process.send_signal(number)
        assert process.wait(15) == 0


def test_certificates_that_cannot_be_used_end_the_program_at_start(
    complete: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "no-certificate.pem"
    file.write_text("nothing")
    files = {"JOBS_GRPC_TLS_CERTIFICATE": str(file), "JOBS_GRPC_TLS_KEY": str(file)}
    for variable, setting in {**complete, **files}.items():
        monkeypatch.setenv(variable, setting)
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2
    assert capsys.readouterr().err.startswith(f"JOBS_GRPC_TLS_*: {file} and {file}: expected a certificate and its key")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JOBS_DATABASE_URL", "", "not set, but required"),
        ("JOBS_DATABASE_URL", "postgresql://u:hunter2@h/d?x=%zz", "expected a URL"),
        ("JOBS_ENABLED", "perhaps", "valid boolean"),
        ("JOBS_WORKER_COUNT", "0", "greater than or equal to 1"),
        ("JOBS_MAX_RETRIES", "-1", "greater than or equal to 0"),
        ("JOBS_TIMEOUT", "30", "expected a duration with its unit"),
        ("JOBS_HASH_KEYS", "hunter2", "key 1 is not Base64"),
        ("JOBS_HASH_KEYS", "aHVudGVyMg==", "key 1 has 7 bytes"),
        ("JOBS_SCHEMA", "Jobs", "expected up to 41 lower-case letters"),
        ("JOBS_KINDS", "", "not set, but required"),
        ("JOBS_KINDS", "no_such_shop.kinds_pb2", "there is no module 'no_such_shop'"),
        ("JOBS_KINDS", "saas.jobs.v1.kinds_pb2:KINDS", "has no 'KINDS'"),
        ("JOBS_KINDS", "saas.jobs.v1.worker_support_pb2", "has no job kinds: set `option (headrace.jobs.v1.job)"),
        ("JOBS_KINDS", "json", "is a module without protobuf messages: expected"),
        ("JOBS_KINDS", "json:loads", "is a function: expected"),
        ("JOBS_CALLERS_FILE", "/nowhere/callers.toml", "No such file"),
        ("JOBS_KIND_OVERRIDES", "{", "expected JSON"),
        (
            "JOBS_KIND_OVERRIDES",
            '{"saas.jobs.v1.MakeCoffee": {}}',
            "saas.jobs.v1.MakeCoffee is unknown: use one of",
        ),
        ("JOBS_KIND_OVERRIDES", '{"saas.jobs.v1.ReconcileStripe": {"timeout": "9"}}', "expected a duration"),
        ("JOBS_GRPC_TLS_KEY", "/key.pem", "set both or neither"),
        ("JOBS_QUEUE_DEPTHS", "email=0", "a number above zero"),
        ("JOBS_GRPC_MAX_CONNECTION_AGE", "1ms", "greater than or equal to"),
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
    ],
)
def test_a_bad_variable_is_refused_at_start_by_its_name(
    complete: dict[str, str],
    name: str,
    value: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable, setting in {**complete, name: value}.items():
        monkeypatch.setenv(variable, setting)
    with pytest.raises(SystemExit) as refused:
        main()
    (said,) = capsys.readouterr().err.splitlines()
    assert refused.value.code == 2
    assert name in said
    assert words in said
    assert "hunter2" not in said
