"""A change of the contract that breaks its clients is reported, and so is generated code that is stale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"


def breaking(contract: Path) -> subprocess.CompletedProcess[str]:
    """Compares a contract with the landed one, as `make lint` does."""
    against = ["--against", str(ROOT / "proto/landed.binpb"), "--config", str(ROOT / "proto/buf.yaml")]
    paths = ["--path", "headrace", "--path", "saas"]
    return subprocess.run(
        [str(BUF), "breaking", str(contract), *against, *paths], capture_output=True, text=True, check=False
    )


def test_the_contract_breaks_nobody() -> None:
    done = breaking(ROOT / "proto/gen/descriptors.binpb")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("change", ["remove", "retype", "renumber"])
def test_a_breaking_change_is_an_error(tmp_path: Path, change: str) -> None:
    contract = FileDescriptorSet.FromString((ROOT / "proto/gen/descriptors.binpb").read_bytes())
    [kinds] = [file for file in contract.file if file.name == "saas/jobs/v1/kinds.proto"]
    message = kinds.message_type[0]
    match change:
        case "remove":
            del message.field[0]
        case "retype":
            message.field[0].type = message.field[0].TYPE_INT64
        case "renumber":
            message.field[0].number = 9
    changed = tmp_path / "descriptors.binpb"
    changed.write_bytes(contract.SerializeToString())
    done = breaking(changed)
    assert done.returncode != 0
    assert "SendVerificationEmail" in done.stdout


def test_stale_generated_code_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", copy, ignore=shutil.ignore_patterns("__pycache__"))
    source = copy / "saas/jobs/v1/kinds.proto"
    source.write_text(source.read_text().replace("string inbox_id = 1", "string inbox_id = 2"))
    command = [sys.executable, str(copy / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "saas/jobs/v1/kinds_pb2.py" in done.stderr
