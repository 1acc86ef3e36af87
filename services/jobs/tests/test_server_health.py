"""The server's probes over HTTP, which work beside a listener with TLS."""

from pathlib import Path
from typing import Any

import httpx
from authority import Authority
from eventually import Eventually
from jobs_server_fixtures import Serve

from headrace.queue.db.migrate import up
from jobs_service.server.program import JobsServer

ANYWHERE = "127.0.0.1:0"


async def asked(server: JobsServer, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{server.health_port}{path}")).status_code


async def is_ready(server: JobsServer) -> bool:
    return await asked(server, "/readyz") == 200


async def test_probes_are_answered_over_http_beside_an_encrypted_listener(
    serve: Serve, tmp_path: Path, eventually: Eventually
) -> None:
    certificate, key = Authority(tmp_path, "ours").issue("server")
    files: dict[str, Any] = {"jobs_grpc_tls_certificate": certificate, "jobs_grpc_tls_key": key}
    async with serve(jobs_server_health_address=ANYWHERE, **files) as server:
        assert await asked(server, "/livez") == 200
        await eventually(lambda: is_ready(server))
        assert await asked(server, "/elsewhere") == 404


async def test_a_server_whose_tables_are_missing_lives_and_is_not_ready(
    serve: Serve, database: str, eventually: Eventually
) -> None:
    async with serve(migrate=False, jobs_server_health_address=ANYWHERE) as server:
        assert await asked(server, "/livez") == 200
        assert await asked(server, "/readyz") == 503
        up(database)
        await eventually(lambda: is_ready(server), within=20)
