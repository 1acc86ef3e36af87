"""Puts the job options and validation rules, generated in proto/, into the engine's own wheel.

So `pip install ./libs/queue` is enough for a project whose .proto files mark messages as jobs. An editable
install leaves them where they are made, so that they are never stale there.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTO = Path(__file__).resolve().parents[2] / "proto"
SHIPPED = {
    "gen/headrace/jobs/v1/options_pb2.py": "headrace/jobs/v1/options_pb2.py",
    "gen/headrace/jobs/v1/options_pb2.pyi": "headrace/jobs/v1/options_pb2.pyi",
    "gen/buf/validate/validate_pb2.py": "buf/validate/validate_pb2.py",
    "gen/buf/validate/validate_pb2.pyi": "buf/validate/validate_pb2.pyi",
    "headrace/jobs/v1/options.proto": "headrace/jobs/v1/options.proto",
}


class SharedFiles(BuildHookInterface[Any]):
    """The build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the shared files to a standard wheel."""
        if version == "standard":
            build_data["force_include"].update({str(PROTO / source): target for source, target in SHIPPED.items()})
