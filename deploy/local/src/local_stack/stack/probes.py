"""Checks whether a process is ready to use."""

import http.client
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT = 2.0


def http_answers(address: str, path: str) -> Callable[[], bool]:
    """Returns a probe that reports whether a GET returns 200."""

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
    """Returns a probe that reports whether gRPC's health check returns SERVING."""

    def probe() -> bool:
        with grpc.insecure_channel(address) as channel:
            try:
                response = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT
                )
            except grpc.RpcError:
                return False
            return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    return probe
