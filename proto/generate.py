"""Generates the Python code of every .proto file into proto/gen, or checks that it is fresh.

    python proto/generate.py            rewrite proto/gen
    python proto/generate.py --check    exit 1 when proto/gen is not what the .proto files make

proto/gen is the one place of generated code in this repository, and nothing in it is written by hand.

The compiler is older than the installed protobuf on purpose. Generated code runs with the protobuf and grpcio that it
was made for and with newer ones, so the compiler sets the oldest versions that our distributions accept.
proto/compiler.lock names it; the first run fetches it into the user's cache folder.

The code does not import `buf.validate`. Each file loses that import and keeps its rules as bytes in its options, where
protovalidate finds them. So a program can have any version of `buf/validate/validate.proto` beside our code.
proto/gen/buf is for the tests alone: it has the code that a user generates for the rules in their own .proto files.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import google.rpc.status_pb2
import protovalidate
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

PROTO = Path(__file__).resolve().parent
GENERATED = PROTO / "gen"
LOCK = PROTO / "compiler.lock"
RULES = "buf/validate/validate.proto"
KINDS = "saas/jobs/v1/kinds.proto"


def compiler() -> Path:
    """Returns the folder with the locked grpcio-tools, after fetching it if need be."""
    [version] = re.findall(r"^grpcio-tools==(\S+)", LOCK.read_text(), re.MULTILINE)
    folder = _cache() / f"grpcio-tools-{version}-{sys.implementation.cache_tag}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fetched = Path(tempfile.mkdtemp(dir=folder.parent))
        options = ["--quiet", "--no-deps", "--require-hashes", "--target", str(fetched), "--requirement", str(LOCK)]
        subprocess.run([*_installer(), *options], check=True)
        try:
            fetched.rename(folder)
        except OSError:  # another run was faster
            shutil.rmtree(fetched)
    return folder


def _cache() -> Path:
    """The folder of the tools that all clones on this machine share, as in make/tools.mk."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HEADRACE_TOOLS") or cache / "headrace")


def _installer() -> list[str]:
    uv = os.environ.get("UV") or shutil.which("uv") or next(map(str, _cache().glob("uv-*/uv")), None)
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--root-user-action=ignore"]
    raise SystemExit("fetching the protobuf compiler needs uv or pip; run `make proto`")


def run_protoc(tools: Path, arguments: Sequence[str]) -> None:
    """Runs the protoc of grpcio-tools; raises SystemExit when it rejects a file."""
    environment = {**os.environ, "PYTHONPATH": str(tools)}
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments], env=environment, cwd=PROTO, check=False
    )
    if done.returncode != 0:
        raise SystemExit("protoc rejected the files above; proto/gen is unchanged")


def rules() -> FileDescriptorProto:
    """The rules of the installed protovalidate, so that the code and the validator agree about them."""
    return FileDescriptorProto.FromString(protovalidate.ViolationPb.desc().file.proto.to_binary())


def without_rules(image: FileDescriptorSet) -> list[FileDescriptorProto]:
    """The same files without the import of the rules. The rules themselves stay, as options of an unknown extension."""
    kept = [file for file in image.file if file.name != RULES]
    for file in kept:
        imports = [name for name in file.dependency if name != RULES]
        del file.dependency[:]
        file.dependency.extend(imports)
        _clear_json_names(file.extension)
        for message in file.message_type:
            _clear_json_names(_fields(message))
    return kept


def _fields(message: DescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from message.field
    yield from message.extension
    for nested in message.nested_type:
        yield from _fields(nested)


def _clear_json_names(fields: Iterable[FieldDescriptorProto]) -> None:
    """A descriptor set has the JSON name of every field, code that is generated from the .proto file does not.

    Ours must be the same as what a user generates from our .proto files: one process may have both.
    """
    for field in fields:
        if field.json_name == re.sub("_+(.?)", lambda found: found[1].upper(), field.name):
            field.ClearField("json_name")


def write_set(path: Path, contents: Iterable[FileDescriptorProto]) -> str:
    """Writes a descriptor set; returns the flag by which protoc reads it."""
    path.write_bytes(FileDescriptorSet(file=contents).SerializeToString())
    return f"--descriptor_set_in={path}"


def generate(into: Path) -> None:
    """Generates modules, type stubs, gRPC stubs and the descriptor set of all files into a folder."""
    tools = compiler()
    sources = sorted(
        str(path.relative_to(PROTO)) for root in ("headrace", "saas") for path in (PROTO / root).rglob("*.proto")
    )
    services = [source for source in sources if re.search(r"(?m)^service ", (PROTO / source).read_text())]
    with tempfile.TemporaryDirectory() as scratch:
        own_rules = write_set(Path(scratch) / "rules.binpb", [rules()])
        includes = [
            f"--proto_path={PROTO}",
            f"--proto_path={tools / 'grpc_tools' / '_proto'}",
            f"--proto_path={Path(google.rpc.status_pb2.__file__).parents[2]}",
            own_rules,
        ]
        image = into / "descriptors.binpb"
        whole = [f"--descriptor_set_out={image}", "--include_imports", "--include_source_info"]
        run_protoc(tools, [*includes, *whole, *sources])
        # The code of the job kinds has their comments beside it: ListKinds describes the kinds by them.
        comments = into / Path(KINDS).with_suffix(".binpb")
        comments.parent.mkdir(parents=True)
        run_protoc(tools, [*includes, f"--descriptor_set_out={comments}", "--include_source_info", KINDS])

        files = without_rules(FileDescriptorSet.FromString(image.read_bytes()))
        bare = write_set(Path(scratch) / "bare.binpb", files)
        python = [f"--python_out={into}", f"--pyi_out={into}"]
        run_protoc(tools, [bare, *python, *sources])
        stubs = f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
        run_protoc(tools, [bare, f"--grpc_python_out={into}", stubs, f"--mypy_grpc_out={into}", *services])
        run_protoc(tools, [*includes, *python, RULES])
    for folder in {(into / source).parent for source in sources}:
        (folder / "py.typed").touch()


def differences(expected: Path, actual: Path) -> list[str]:
    """Names what is missing, left over or different in `actual`, relative to it."""
    names = {
        str(path.relative_to(root))
        for root in (expected, actual)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        name
        for name in names
        if not (expected / name).exists()
        or not (actual / name).exists()
        or not filecmp.cmp(expected / name, actual / name, shallow=False)
    )


def main() -> None:
    """The command."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        stale = differences(fresh, GENERATED)
        if "--check" in sys.argv[1:]:
            if stale:
                raise SystemExit("proto/gen is stale; run `make proto`. Different: " + ", ".join(stale))
            return
        for name in stale:
            target = GENERATED / name
            if (fresh / name).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((fresh / name).read_bytes())
            else:
                target.unlink()
        print(f"proto/gen: {len(stale)} files changed")


if __name__ == "__main__":
    main()
