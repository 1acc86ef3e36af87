"""A user's own `buf.validate`, in any version, and our code live in one process, in either order of imports."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import MakeEnvironment
from tests.packaging.environments import ENGINE, PROGRAMS, PYTHONS, ROOT, Environment

pytestmark = pytest.mark.dist
README = ROOT / "proto/README.md"
BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
# Rules as a later or an earlier protovalidate has them: there is a message more.
OTHER_VERSION = """
from pathlib import Path
from google.protobuf.descriptor_pb2 import FileDescriptorSet

rules = FileDescriptorSet.FromString(Path("rules.binpb").read_bytes())
rules.file[0].message_type.add(name="RulesOfAnotherVersion")
Path("rules.binpb").write_bytes(rules.SerializeToString())
"""


@pytest.fixture(scope="module")
def environment(new_environment: MakeEnvironment) -> Environment:
    """One with the engine and what the README asks for."""
    return new_environment(PYTHONS[0]).install(f"{ENGINE}[protobuf]", "headrace-contract[grpc]", "grpcio-tools")


@pytest.fixture(scope="module", params=["installed", "other"])
def generated(request: pytest.FixtureRequest, environment: Environment) -> Path:
    """A folder in which the README's steps were done, with the rules of the installed protovalidate or of another."""
    blocks = {match["name"]: match["text"] for match in BLOCK.finditer(README.read_text())}
    folder: Path = environment.folder / request.param
    folder.mkdir()
    (folder / "shop.proto").write_text(blocks["shop.proto"])
    do(environment, folder, blocks["rules"])
    if request.param == "other":
        do(environment, folder, f"python - <<'EOF'{OTHER_VERSION}EOF")
    do(environment, folder, blocks["compile"])
    return folder


def do(environment: Environment, folder: Path, script: str) -> None:
    """Runs a shell script with the environment's programs first."""
    path = f"{environment.python.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("order", ["sorted", "reverse"])
def test_a_users_rules_and_our_code_live_in_one_process(environment: Environment, generated: Path, order: str) -> None:
    program = f"import sys; sys.path.insert(0, {str(generated)!r})\n" + (PROGRAMS / "own_rules.py").read_text()
    environment.check(program, order)
