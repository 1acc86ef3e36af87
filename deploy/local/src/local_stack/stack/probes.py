"""How the orchestrator finds out that a part can be used: it asks the part, and never assumes."""

import http.client
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT = 2.0


def http_answers(address: str, path: str) -> Callable[[], bool]:
    """Answers a probe that says whether a GET is answered with 200."""

    def probe() -> bool:
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def grpc_serves(address: str, service: str) -> Callable[[], bool]:
    """Answers a probe that says whether gRPC's own health check is answered with SERVING."""

    def probe() -> bool:
        with grpc.insecure_channel(address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT
                )
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe
