"""What every part of JobsService needs."""

from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.queue import Door
from jobs_service.callers import Callers
from jobs_service.database import Database


class Part(jobs_service_pb2_grpc.JobsServiceServicer):
    """Some of the methods; `service` puts the parts together."""

    def __init__(self, door: Door, database: Database, callers: Callers) -> None:
        self._door = door
        self._database = database
        self._callers = callers
