"""Generates the Python code of every .proto file into proto/gen, or checks that it is fresh.

    python proto/generate.py            rewrite proto/gen and proto/gen/descriptors.binpb
    python proto/generate.py --check    exit 1 when proto/gen is not what the .proto files make

proto/gen is the one place of generated code in this repository, and nothing in it is written by hand.
Beside the code of the job kinds lies their descriptor with its comments, from which ListKinds describes them.
The rules of `buf/validate/validate.proto` come out of the installed protovalidate as a descriptor, so
that the code and the validator always speak of the same rules.
"""

from __future__ import annotations

import filecmp
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import google.rpc.status_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTO = Path(__file__).resolve().parent
GENERATED = PROTO / "gen"
RULES = "buf/validate/validate.proto"
KINDS = "saas/jobs/v1/kinds.proto"


def write_rules(path: Path) -> None:
    """Writes the descriptor of protovalidate's rules as a descriptor set that protoc can import."""
    rules = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    path.write_bytes(descriptor_pb2.FileDescriptorSet(file=[rules]).SerializeToString())


def run_protoc(sources: list[str], flags: list[str], rules: Path) -> None:
    """Runs the protoc of grpcio-tools; raises SystemExit when it refuses."""
    includes = [
        f"--proto_path={PROTO}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--proto_path={Path(google.rpc.status_pb2.__file__).parents[2]}",
    ]
    arguments = ["protoc", *includes, f"--descriptor_set_in={rules}", *flags, *sources]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc refused the files above; proto/gen is unchanged")


def generate(into: Path) -> None:
    """Generates modules, type stubs, gRPC stubs and the descriptor set of all files into a folder."""
    sources = sorted(
        str(path.relative_to(PROTO)) for root in ("headrace", "saas") for path in (PROTO / root).rglob("*.proto")
    )
    services = [source for source in sources if re.search(r"(?m)^service ", (PROTO / source).read_text())]
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.binpb"
        write_rules(rules)
        run_protoc([*sources, RULES], [f"--python_out={into}", f"--pyi_out={into}"], rules)
        stubs = f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
        run_protoc(services, [f"--grpc_python_out={into}", stubs, f"--mypy_grpc_out={into}"], rules)
        image = into / "descriptors.binpb"
        run_protoc(sources, [f"--descriptor_set_out={image}", "--include_imports", "--include_source_info"], rules)
        comments = into / Path(KINDS).with_suffix(".binpb")
        run_protoc([KINDS], [f"--descriptor_set_out={comments}", "--include_source_info"], rules)


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
