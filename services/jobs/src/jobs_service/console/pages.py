"""The contents of the pages: the calls that each makes, and the values for its template."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb
from jobs_service.console.formatting import job_state, state
from jobs_service.console.payloads import PayloadReader
from jobs_service.console.settings import TRACE_ID

PAGE_SIZE = 50
NEXT_RUNS = 3

Call = Callable[[str, Any], Awaitable[Any]]
"""Calls a method by its name, with the operator's token."""


class Page(NamedTuple):
    """A page: its template, its title, and the template's values."""

    template: str
    title: str
    shown: dict[str, Any]


class Pages:
    """Creates the pages' contents. Each raises AioRpcError if the service rejects the call or is unavailable."""

    def __init__(self, payloads: PayloadReader, trace_url: str | None) -> None:
        self._payloads = payloads
        self._trace_url = trace_url

    async def overview(self, call: Call, _query: Mapping[str, str]) -> Page:
        """Queues with their job counts, and pauses."""
        queues, stats, pauses = await asyncio.gather(
            call("ListQueues", pb.ListQueuesRequest()),
            call("GetQueueStats", pb.GetQueueStatsRequest()),
            call("ListPauses", pb.ListPausesRequest()),
        )
        known = {queue.name: queue for queue in queues.queues}
        rows = [
            {
                "stats": each,
                "queue": known.get(each.queue),
                "counts": {state(count.state): count for count in each.counts},
            }
            for each in stats.stats
        ]
        return Page("overview.html", "Queues", {"rows": rows, "pauses": pauses.pauses})

    async def jobs(self, call: Call, query: Mapping[str, str]) -> Page:
        """A page of jobs, newest first."""
        asked = {name: query.get(name, "").strip() for name in ("state", "kind", "queue", "tag")}
        wanted = job_pb2.JobFilter(
            states=[job_state(asked["state"])] if asked["state"] else [],
            kinds=list(filter(None, [asked["kind"]])),
            queues=list(filter(None, [asked["queue"]])),
            tags=list(filter(None, [asked["tag"]])),
        )
        request = pb.ListJobsRequest(filter=wanted, page_size=PAGE_SIZE, page_token=query.get("page", ""))
        page = await call("ListJobs", request)
        kept = {name: value for name, value in asked.items() if value}
        following = urlencode({**kept, "page": page.next_page_token}) if page.next_page_token else None
        return Page("jobs.html", "Jobs", {"jobs": page.jobs, "asked": asked, "following": following})

    async def job(self, call: Call, job_id: str) -> Page:
        """One job, and why it isn't running."""
        response = await call("ExplainJob", pb.ExplainJobRequest(job_id=job_id))
        trace_url = self._trace_url and self._trace_url.replace(TRACE_ID, response.job.trace_id)
        shown = {
            "job": response.job,
            "explanation": response.explanation,
            "payload": await self._payloads.read(response.job.payload),
            "trace_url": trace_url if response.job.trace_id else None,
        }
        return Page("job.html", f"Job {response.job.id}", shown)

    async def kinds(self, call: Call, _query: Mapping[str, str]) -> Page:
        """Kinds of jobs and the fields of their payloads."""
        response = await call("ListKinds", pb.ListKindsRequest())
        return Page("kinds.html", "Kinds", {"kinds": response.kinds})

    async def workers(self, call: Call, _query: Mapping[str, str]) -> Page:
        """Workers, including those that have stopped."""
        response = await call("ListWorkers", pb.ListWorkersRequest(include_gone=True))
        return Page("workers.html", "Workers", {"workers": response.workers})

    async def periodic(self, call: Call, _query: Mapping[str, str]) -> Page:
        """Periodic jobs and their next runs."""
        response = await call("ListPeriodicJobs", pb.ListPeriodicJobsRequest(runs=NEXT_RUNS))
        return Page("periodic.html", "Periodic jobs", {"periodic_jobs": response.periodic_jobs})

    async def audit(self, call: Call, query: Mapping[str, str]) -> Page:
        """The audit log, newest first."""
        request = pb.ListAuditEntriesRequest(page_size=PAGE_SIZE, page_token=query.get("page", ""))
        response = await call("ListAuditEntries", request)
        following = urlencode({"page": response.next_page_token}) if response.next_page_token else None
        return Page("audit.html", "Audit", {"entries": response.entries, "following": following})
