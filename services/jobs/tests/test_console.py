"""The console as a browser finds it: over HTTP, before a real JobsService and Postgres."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from authority import Authority
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from grpc_reflection.v1alpha import reflection
from jobs_server_fixtures import ClientOf, JobsClient, Serve
from private_kinds import PRIVATE_FILE, Address, Invite
from starlette.responses import Response

from headrace.chassis.http.server import HttpServer
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.tokens import token_hash
from headrace.chassis.tls.certificates import ClientTls
from headrace.jobs.v1 import job_pb2, periodic_job_pb2, worker_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.queue import Kinds
from jobs_service.callers.caller import Caller, Callers
from jobs_service.console import formatting
from jobs_service.console.app import Console
from jobs_service.console.sessions import Sessions
from jobs_service.server.program import JobsServer

CANARY = "canary-0815@example.com"
KIND = "headrace.test.v1.Invite"
PAGES = ("/", "/jobs", "/kinds", "/workers", "/periodic", "/audit")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = pb.TraceContext(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
KEYS = (b"0123456789abcdef",)


def _caller(name: str, **rights: Any) -> Caller:
    given = {"kinds": ("*",), "methods": ("*",), **rights}
    return Caller(name=name, token_sha256=(token_hash(f"{name}-token"),), **given)


CLERK, AUDITOR = _caller("clerk"), _caller("auditor", see_redacted=True)
READER = _caller("reader", methods=("ListJobs", "ExplainJob"))


@pytest.fixture
def callers() -> Callers:
    return Callers([CLERK, AUDITOR, READER])


@pytest.fixture
async def server(serve: Serve, callers: Callers) -> AsyncIterator[JobsServer]:
    """A server of kinds that redact."""
    async with serve(callers=callers, kinds=Kinds.of_file(PRIVATE_FILE)) as running:
        yield running


@pytest.fixture
async def clerk(server: JobsServer, client_of: ClientOf) -> AsyncIterator[JobsClient]:
    """A gRPC client without the right to see redacted fields."""
    async with client_of(server, "clerk-token") as stub:
        yield stub


@asynccontextmanager
async def console(
    server: JobsServer, *, origin: str | None = None, tls: ClientTls | None = None, **options: Any
) -> AsyncIterator[str]:
    """Serves the console; its URL."""
    channel = open_channel(f"127.0.0.1:{server.port}", tls=tls, timeout=20)
    app = Console(channel, Sessions(KEYS, timedelta(hours=1), origin), **options).app
    http = HttpServer(app, "127.0.0.1:0", name="console")
    port = await http.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await http.stop(1)
        await channel.close()


@asynccontextmanager
async def browsing(url: str, who: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, as far as forms and cookies go; logged in with a token."""
    headers = {"origin": url}
    async with httpx.AsyncClient(base_url=url, headers=headers, follow_redirects=True, trust_env=False) as browser:
        if who is not None:
            answer = await browser.post("/login", data={"token": f"{who}-token"})
            assert "Log out" in answer.text
        yield browser


@pytest.fixture
async def url(server: JobsServer) -> AsyncIterator[str]:
    async with console(server, trace_url="https://traces.example.com/trace/{trace_id}") as served:
        yield served


@pytest.fixture
async def browser(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser in which the clerk is logged in."""
    async with browsing(url, "clerk") as logged_in:
        yield logged_in


def packed(message: Any) -> any_pb2.Any:
    held = any_pb2.Any()
    held.Pack(message)
    return held


def deep(levels: int) -> any_pb2.Any:
    """An Any in an Any in an Any …: no parser counts these levels, for each is but bytes to the one before."""
    held = packed(timestamp_pb2.Timestamp(seconds=1))
    for _ in range(levels):
        held = packed(held)
    return held


async def enqueue(stub: JobsClient, message: Any = None, **options: Any) -> str:
    payload = packed(message or Invite(guest=CANARY, house="12"))
    return str((await stub.Enqueue(pb.EnqueueRequest(payload=payload, **options))).job_id)


async def job_of(stub: JobsClient, job_id: str) -> job_pb2.Job:
    job: job_pb2.Job = (await stub.GetJob(pb.GetJobRequest(job_id=job_id))).job
    return job


class TestLoggingIn:
    @pytest.mark.parametrize("page", [*PAGES, "/jobs/1"])
    async def test_no_page_is_shown_without_a_login(self, url: str, page: str) -> None:
        async with browsing(url) as browser:
            answer = await browser.get(page)
            assert answer.url.path == "/login"
            assert "Your token" in answer.text
            assert "Log out" not in answer.text

    async def test_one_comes_back_to_where_one_wanted_to_go(self, url: str) -> None:
        async with browsing(url) as browser:
            login = await browser.get("/jobs?queue=invites&state=available")
            answer = await browser.post(str(login.url), data={"token": "clerk-token"})
            assert (answer.url.path, answer.url.query) == ("/jobs", b"queue=invites&state=available")

    @pytest.mark.parametrize(
        "target", ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "evil"]
    )
    async def test_a_login_redirects_to_this_console_alone(self, url: str, target: str) -> None:
        async with browsing(url) as browser:
            answer = await browser.post("/login", params={"next": target}, data={"token": "clerk-token"})
            assert str(answer.url) == f"{url}/"

    @pytest.mark.parametrize("token", ["", "unknown", "clerk-token x", "clerk\ntoken", "clé", "\x00", "x" * 5000])
    async def test_an_unknown_token_is_rejected(self, url: str, token: str) -> None:
        async with browsing(url) as browser:
            answer = await browser.post("/login", data={"token": token})
            assert answer.status_code == 401
            assert "The jobs service does not accept this token." in answer.text
            assert not browser.cookies

    async def test_the_cookie_does_not_show_the_token_and_no_script_reads_it(self, url: str) -> None:
        async with browsing(url) as browser:
            answer = await browser.post("/login", data={"token": "clerk-token"}, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
        assert "clerk-token" not in cookie
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=3600"} <= set(cookie.split("; "))

    async def test_over_https_the_cookie_stays_there(self, server: JobsServer) -> None:
        origin = "https://jobs.example.com"
        async with console(server, origin=origin) as served, browsing(served) as browser:
            refused = await browser.post("/login", data={"token": "clerk-token"})
            assert refused.status_code == 403
            answer = await browser.post(
                "/login", data={"token": "clerk-token"}, headers={"origin": origin}, follow_redirects=False
            )
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-headrace=")
        assert "Secure" in cookie.split("; ")

    async def test_a_cookie_made_elsewhere_is_rejected(self, url: str) -> None:
        async with browsing(url) as browser:
            forged = Sessions((b"another key, of the same length",), timedelta(hours=1), None)
            response = Response()
            forged.begin(response, "clerk-token")
            sealed = response.headers["set-cookie"].partition(";")[0].partition("=")[2]
            browser.cookies.set("headrace", sealed)
            assert (await browser.get("/jobs")).url.path == "/login"
            browser.cookies.set("headrace", "é".encode().hex())
            assert (await browser.get("/jobs")).url.path == "/login"

    async def test_logging_out_ends_it(self, browser: httpx.AsyncClient) -> None:
        assert (await browser.post("/logout")).url.path == "/login"
        assert (await browser.get("/")).url.path == "/login"

    async def test_a_token_that_was_taken_back_is_out_at_once(
        self, browser: httpx.AsyncClient, callers: Callers
    ) -> None:
        assert (await browser.get("/")).url.path == "/"
        callers.replace([AUDITOR])
        assert (await browser.get("/")).url.path == "/login"
        assert not browser.cookies


class TestPages:
    async def test_a_job_is_found_from_its_queue_and_shown(self, browser: httpx.AsyncClient, clerk: JobsClient) -> None:
        job_id = await enqueue(
            clerk, Invite(house="12", home=Address(street="Elm")), tags=["vip"], trace_context=TRACED
        )
        overview = await browser.get("/")
        link = re.search(r'href="(/jobs\?queue=invites&amp;state=available)">1<', overview.text)
        assert link is not None, overview.text
        listed = await browser.get(link[1].replace("&amp;", "&"))
        assert f'href="/jobs/{job_id}"' in listed.text
        shown = await browser.get(f"/jobs/{job_id}")
        assert shown.status_code == 200
        summary = (await clerk.ExplainJob(pb.ExplainJobRequest(job_id=job_id))).explanation.summary
        for text in (KIND, "available", "vip", "clerk", "0 of 3", html.escape(summary)):
            assert text in shown.text
        assert "&#34;house&#34;: &#34;12&#34;" in shown.text
        assert "&#34;street&#34;: &#34;Elm&#34;" in shown.text
        assert f'href="https://traces.example.com/trace/{TRACE}"' in shown.text

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", True),
            ("?state=available", True),
            ("?state=completed", False),
            (f"?kind={KIND}", True),
            ("?kind=none.of.these", False),
            ("?queue=invites&tag=vip", True),
            ("?tag=other", False),
        ],
    )
    async def test_jobs_are_filtered(
        self, browser: httpx.AsyncClient, clerk: JobsClient, query: str, found: bool
    ) -> None:
        job_id = await enqueue(clerk, tags=["vip"])
        page = await browser.get(f"/jobs{query}")
        assert (f'href="/jobs/{job_id}"' in page.text) == found

    async def test_older_jobs_are_on_further_pages(self, browser: httpx.AsyncClient, clerk: JobsClient) -> None:
        requests = [pb.EnqueueRequest(payload=packed(Invite(house=str(n)))) for n in range(120)]
        answer = await clerk.EnqueueBatch(pb.EnqueueBatchRequest(requests=requests))
        seen: list[str] = []
        page = "/jobs?queue=invites"
        while page:
            text = (await browser.get(page)).text
            seen += re.findall(r'href="/jobs/(\d+)"', text)
            following = re.search(r'href="([^"]+)">Older jobs', text)
            page = following[1].replace("&amp;", "&") if following else ""
        assert seen == [result.accepted.job_id for result in reversed(answer.results)]

    async def test_kinds_workers_periodic_jobs_and_audit_are_shown(
        self, browser: httpx.AsyncClient, clerk: JobsClient
    ) -> None:
        schedule = periodic_job_pb2.PeriodicJob(
            name="nightly/all", payload=packed(Invite(house="1")), cron="0 3 * * *", time_zone="Europe/Berlin"
        )
        await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=schedule))
        await clerk.PauseKind(pb.PauseKindRequest(kind=KIND))
        pages = {page: (await browser.get(page)).text for page in PAGES}
        assert all(
            f">{title}</h1>" in pages[page] for page, title in {"/kinds": "Kinds", "/workers": "Workers"}.items()
        )
        assert "paused" in pages["/kinds"]
        assert "guest</code> string, redacted" in pages["/kinds"]
        assert "Paused: " + KIND in pages["/"]
        assert "nightly/all" in pages["/periodic"]
        assert "Europe/Berlin" in pages["/periodic"]
        assert "No worker has ever run." in pages["/workers"]
        assert "PauseKind" in pages["/audit"]

    async def test_what_jobs_hold_is_text_and_never_markup(self, browser: httpx.AsyncClient, clerk: JobsClient) -> None:
        evil = "<script>alert(1)</script>"
        job_id = await enqueue(clerk, Invite(house=evil), tags=[evil])
        for page in (f"/jobs/{job_id}", "/jobs", f"/jobs?tag={evil}", f"/jobs?kind={evil}"):
            answer = await browser.get(page)
            assert evil not in answer.text
            assert "script-src" not in answer.headers["content-security-policy"]
            assert answer.headers["content-security-policy"].startswith("default-src 'none';")
            assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        ("page", "status", "text"),
        [
            ("/jobs/99999", 404, "job 99999"),
            ("/jobs/nonsense", 404, "nonsense"),
            ("/jobs?state=nonsense", 400, "filter.states"),
            ("/jobs?page=nonsense", 400, "page_token"),
            ("/nowhere", 404, "The console has no such page."),
            ("/jobs/", 404, "The console has no such page."),
        ],
    )
    async def test_what_is_not_there_is_told(
        self, browser: httpx.AsyncClient, page: str, status: int, text: str
    ) -> None:
        answer = await browser.get(page)
        assert answer.status_code == status, answer.text
        assert text in answer.text

    @pytest.mark.parametrize(
        "held",
        [
            any_pb2.Any(type_url="type.googleapis.com/no.such.Message", value=b"1"),
            packed(timestamp_pb2.Timestamp(seconds=2**60)),
            deep(600),
        ],
        ids=["unknown", "no date", "deep"],
    )
    async def test_a_payload_that_json_can_not_say_leaves_the_rest_of_its_page(
        self, browser: httpx.AsyncClient, clerk: JobsClient, held: any_pb2.Any
    ) -> None:
        job_id = await enqueue(clerk, Invite(house="12", attachment=held))
        shown = await browser.get(f"/jobs/{job_id}")
        assert shown.status_code == 200
        assert f"bytes, not readable as {KIND}." in shown.text
        assert "Cancel</button>" in shown.text

    @pytest.mark.parametrize("failure", ["ends", "aborts"])
    async def test_a_service_that_describes_nothing_leaves_the_rest_too(
        self, browser: httpx.AsyncClient, clerk: JobsClient, monkeypatch: pytest.MonkeyPatch, failure: str
    ) -> None:
        job_id = await enqueue(clerk)

        async def info(_servicer: Any, _requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            if failure == "aborts":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "bye")
            return
            yield  # makes it a generator

        monkeypatch.setattr(reflection.aio.ReflectionServicer, "ServerReflectionInfo", info)
        shown = await browser.get(f"/jobs/{job_id}")
        assert shown.status_code == 200
        assert "Cancel</button>" in shown.text

    async def test_a_service_that_speaks_tls_is_asked_for_everything(
        self, serve: Serve, callers: Callers, tmp_path: Path
    ) -> None:
        ours = Authority(tmp_path, "ours")
        certificate, key = ours.issue("server")
        served = serve(
            callers=callers,
            kinds=Kinds.of_file(PRIVATE_FILE),
            jobs_grpc_tls_certificate=certificate,
            jobs_grpc_tls_key=key,
        )
        tls = ClientTls(ours.certificate)
        async with served as server, open_channel(f"127.0.0.1:{server.port}", tls=tls, token="clerk-token") as channel:
            job_id = await enqueue(JobsServiceStub(channel))
            async with console(server, tls=tls) as url, browsing(url, "clerk") as browser:
                shown = await browser.get(f"/jobs/{job_id}")
        assert "&#34;house&#34;: &#34;12&#34;" in shown.text

    async def test_a_service_that_is_away_is_told(self, serve: Serve, callers: Callers) -> None:
        async with serve(callers=callers, kinds=Kinds.of_file(PRIVATE_FILE)) as server:
            channel = open_channel(f"127.0.0.1:{server.port}", timeout=20)
            app = Console(channel, Sessions(KEYS, timedelta(hours=1), None)).app
            http = HttpServer(app, "127.0.0.1:0", name="console")
            url = f"http://127.0.0.1:{await http.start()}"
            async with browsing(url, "clerk") as browser:
                await server.__aexit__(None, None, None)
                for answer in (
                    await browser.get("/jobs"),
                    await browser.post("/login", data={"token": "clerk-token"}),
                ):
                    assert answer.status_code == 503
                    assert "The jobs service" in answer.text
                    assert str(server.port) not in answer.text  # where it is, is nothing for whoever is not logged in
            await http.stop(1)
            await channel.close()


def test_a_state_of_a_newer_service_is_its_number() -> None:
    assert (formatting.state(job_pb2.JOB_STATE_RUNNING), formatting.state(99)) == ("running", "99")
    assert (formatting.worker_state(worker_pb2.WORKER_STATE_LIVE), formatting.worker_state(99)) == ("live", "99")


class TestRights:
    async def test_redacted_fields_are_masked_unless_the_token_may_see_them(self, url: str, clerk: JobsClient) -> None:
        job_id = await enqueue(clerk, Invite(guest=CANARY, house="12"), tags=[CANARY])
        schedule = periodic_job_pb2.PeriodicJob(
            name="invites", payload=packed(Invite(guest=CANARY)), every=duration_pb2.Duration(seconds=60)
        )
        await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=schedule))
        pages = [*PAGES, f"/jobs/{job_id}", "/jobs?queue=invites"]
        async with browsing(url, "clerk") as browser:
            seen = {page: (await browser.get(page)).text for page in pages}
        assert [page for page, text in seen.items() if CANARY in text] == []
        assert "&#34;guest&#34;: &#34;[redacted]&#34;" in seen[f"/jobs/{job_id}"]
        assert "Redacted: guest" in seen[f"/jobs/{job_id}"]
        async with browsing(url, "auditor") as browser:
            assert CANARY in (await browser.get(f"/jobs/{job_id}")).text

    async def test_a_token_sees_what_its_caller_may_call(self, url: str, clerk: JobsClient) -> None:
        job_id = await enqueue(clerk)
        async with browsing(url, "reader") as browser:
            assert f'href="/jobs/{job_id}"' in (await browser.get("/jobs")).text
            assert (await browser.get(f"/jobs/{job_id}")).status_code == 200
            refused = await browser.get("/audit")
            assert refused.status_code == 403
            assert "The caller &#39;reader&#39; may not call ListAuditEntries." in refused.text
            refused = await browser.post("/acts/jobs/cancel", data={"name": job_id})
            assert refused.status_code == 403
        assert (await job_of(clerk, job_id)).state == job_pb2.JOB_STATE_AVAILABLE


class TestActs:
    async def test_a_job_is_cancelled_retried_and_deleted_under_ones_name(
        self, browser: httpx.AsyncClient, clerk: JobsClient
    ) -> None:
        job_id = await enqueue(clerk)
        answer = await browser.post("/acts/jobs/cancel", data={"name": job_id})
        assert answer.url.path == f"/jobs/{job_id}"
        assert (await job_of(clerk, job_id)).state == job_pb2.JOB_STATE_CANCELLED
        await browser.post("/acts/jobs/retry", data={"name": job_id})
        assert (await job_of(clerk, job_id)).state == job_pb2.JOB_STATE_AVAILABLE
        answer = await browser.post("/acts/jobs/delete", data={"name": job_id})
        assert answer.url.path == "/jobs"
        assert (await browser.get(f"/jobs/{job_id}")).status_code == 404
        audit = (await browser.get("/audit")).text
        acts = re.findall(r"<td>(\w+)</td>\s*<td>(\w+)</td>\s*<td><a href=\"/jobs/\d+\">job:", audit)
        assert acts == [("clerk", "DeleteJob"), ("clerk", "RetryJob"), ("clerk", "CancelJob")]

    @pytest.mark.parametrize(
        ("sort", "name", "page"),
        [("queues", "invites", "/"), ("kinds", KIND, "/kinds"), ("periodic", "nightly/ä b", "/periodic")],
    )
    async def test_things_are_paused_and_resumed(
        self, browser: httpx.AsyncClient, clerk: JobsClient, sort: str, name: str, page: str
    ) -> None:
        schedule = periodic_job_pb2.PeriodicJob(
            name="nightly/ä b", payload=packed(Invite(house="1")), every=duration_pb2.Duration(seconds=60)
        )
        await clerk.CreatePeriodicJob(pb.CreatePeriodicJobRequest(periodic_job=schedule))
        await enqueue(clerk)
        assert f'action="/acts/{sort}/pause"' in (await browser.get(page)).text
        paused = await browser.post(f"/acts/{sort}/pause", data={"name": name})
        assert paused.url.path == page
        assert "by clerk" in paused.text
        resumed = await browser.post(f"/acts/{sort}/resume", data={"name": name})
        assert "by clerk" not in resumed.text

    @pytest.mark.parametrize("origin", ["https://evil.example.com", "null", ""])
    async def test_no_other_page_can_post_for_one(
        self, browser: httpx.AsyncClient, clerk: JobsClient, origin: str
    ) -> None:
        job_id = await enqueue(clerk)
        for path in ("/acts/jobs/delete", "/logout", "/login"):
            answer = await browser.post(path, data={"name": job_id, "token": "x"}, headers={"origin": origin})
            assert answer.status_code == 403
        assert (await job_of(clerk, job_id)).state == job_pb2.JOB_STATE_AVAILABLE
        assert (await browser.get("/jobs")).url.path == "/jobs"

    async def test_what_can_not_be_done_is_told_and_nothing_is_changed(
        self, browser: httpx.AsyncClient, clerk: JobsClient
    ) -> None:
        job_id = await enqueue(clerk)
        await browser.post("/acts/jobs/cancel", data={"name": job_id})
        for path, data, status in [
            ("/acts/periodic/pause", {"name": "nightly"}, 404),
            ("/acts/jobs/explode", {"name": job_id}, 404),
            ("/acts/jobs/retry", {}, 400),
            ("/acts/queues/pause", {"name": "No Such Name"}, 400),
            ("/acts/jobs/retry", {"name": "x" * 20_000}, 400),
        ]:
            assert (await browser.post(path, data=data)).status_code == status
        assert (await job_of(clerk, job_id)).state == job_pb2.JOB_STATE_CANCELLED
