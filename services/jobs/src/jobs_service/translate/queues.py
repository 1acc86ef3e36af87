"""Queues, how they are doing, and what is paused."""

from headrace.jobs.v1 import queue_pb2
from headrace.queue import Queue
from jobs_service.translate.values import write_time


def write_queue(queue: Queue) -> queue_pb2.Queue:
    """Writes a queue."""
    answer = queue_pb2.Queue(name=queue.name, paused_by=queue.paused_by or "", max_running=queue.max_running)
    write_time(answer.paused_at, queue.paused_at)
    return answer
