"""Jaeger as a process of the stack: finds the binary and configures it for free ports and memory storage.

By default Jaeger listens on a dozen fixed ports, so a second copy of the stack could not run. This configuration opens
three, on loopback: OTLP over gRPC, and the query API over HTTP and gRPC.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from local_stack.stack.ports import HOST, Ports

LISTENERS = ("jaeger-otlp", "jaeger-http", "jaeger-grpc")
MAX_TRACES = 50_000
PAGE = Path(__file__).parent / "trace_page"


def find_jaeger() -> Path | None:
    """Returns the binary on the PATH, where make puts the one from ``make jaeger``; None if there is none."""
    found = shutil.which("jaeger")
    return Path(found) if found else None


def write_configuration(path: Path, ports: Ports) -> None:
    """Writes the collector configuration, as JSON, which is valid YAML."""
    query: dict[str, Any] = {
        "storage": {"traces": "memory"},
        "http": {"endpoint": f"{HOST}:{ports['jaeger-http']}"},
        "grpc": {"endpoint": f"{HOST}:{ports['jaeger-grpc']}"},
        # The Go module has the API but no pages. JAEGER_UI_FOLDER can name a build of jaeger-ui instead of our page.
        "ui": {"assets_path": os.environ.get("JAEGER_UI_FOLDER", str(PAGE))},
    }
    configuration = {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {
            "jaeger_query": query,
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": MAX_TRACES}}}},
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"{HOST}:{ports['jaeger-otlp']}"}}}},
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
    path.write_text(json.dumps(configuration, indent=2))
