"""The console's routes: login, pages and actions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import grpc
import grpc.aio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from headrace.chassis.http.bodies import read_form
from headrace.chassis.http.pages import HtmlPages
from headrace.chassis.settings import is_sendable
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.redaction import redact
from jobs_service.console import formatting
from jobs_service.console.actions import ACTIONS
from jobs_service.console.errors import ErrorPage, problem
from jobs_service.console.pages import Call, Page, Pages
from jobs_service.console.payloads import PayloadReader
from jobs_service.console.sessions import Sessions

Show = Callable[[Call, Mapping[str, str]], Awaitable[Page]]

SEE_OTHER = 303
_UNKNOWN = "The jobs service does not accept this token."
_ELSEWHERE = ErrorPage(
    403, "Not allowed", "This form was not sent by a page of the console. Open the page and send it again."
)
_NO_FORM = ErrorPage(400, "Invalid request", "The request is not a form of the console.")
_NO_PAGE = ErrorPage(404, "Not found", "The console has no such page.")


class Console:
    """The pages over one JobsService."""

    def __init__(self, channel: grpc.aio.Channel, sessions: Sessions, *, trace_url: str | None = None) -> None:
        """Creates the pages; `app` serves them."""
        self._service = JobsServiceStub(channel)
        self._sessions = sessions
        self._pages = HtmlPages(
            __package__ or "",
            referrer_policy="same-origin",  # forms must send their origin
            **{
                name: getattr(formatting, name)
                for name in ("ago", "as_json", "duration", "state", "when", "worker_state")
            },
            states=formatting.STATES,
        )
        self._contents = Pages(PayloadReader(channel), trace_url)
        lists: dict[str, Show] = {
            "/": self._contents.overview,
            "/jobs": self._contents.jobs,
            "/kinds": self._contents.kinds,
            "/workers": self._contents.workers,
            "/periodic": self._contents.periodic,
            "/audit": self._contents.audit,
        }
        self.app = Starlette(
            routes=[
                *(Route(path, self._probe, methods=["GET"]) for path in ("/livez", "/readyz")),
                Route("/login", self._show_login, methods=["GET"]),
                Route("/login", self._login, methods=["POST"]),
                Route("/logout", self._logout, methods=["POST"]),
                Route("/jobs/{job_id}", self._job, methods=["GET"]),
                Route("/acts/{sort}/{act}", self._act, methods=["POST"]),
                *(Route(path, self._list(show), methods=["GET"]) for path, show in lists.items()),
            ],
            exception_handlers={404: self._no_page, 405: self._no_page},
        )
        # Its redirects repeat the request's scheme: behind a TLS-terminating proxy they would lead to plain HTTP.
        self.app.router.redirect_slashes = False

    async def _probe(self, _request: Request) -> Response:
        """Always succeeds: each page reports an unavailable service itself."""
        return PlainTextResponse("ok\n")

    # ── Logging in and out ──

    async def _show_login(self, request: Request) -> Response:
        return self._login_page(request)

    async def _login(self, request: Request) -> Response:
        if not self._sessions.has_own_origin(request):
            return self._problem(_ELSEWHERE)
        form = await read_form(request)
        if form is None:
            return self._problem(_NO_FORM)
        token = form.get("token", "").strip()
        redact(token)
        if not is_sendable(token):
            return self._login_page(request, _UNKNOWN, status=401)
        try:
            await self._calling(token)("ListQueues", pb.ListQueuesRequest())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return self._login_page(request, _UNKNOWN, status=401)
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:  # a known caller, with other permissions
                return self._problem(problem(error))
        response = RedirectResponse(_local(request.query_params.get("next", "/")), SEE_OTHER)
        self._sessions.begin(response, token)
        return response

    async def _logout(self, request: Request) -> Response:
        if not self._sessions.has_own_origin(request):
            return self._problem(_ELSEWHERE)
        response = RedirectResponse("/login", SEE_OTHER)
        self._sessions.end(response)
        return response

    def _login_page(self, request: Request, error: str | None = None, *, status: int = 200) -> Response:
        following = urlencode({"next": _local(request.query_params.get("next", "/"))})
        return self._pages.page("login.html", "Log in", status=status, error=error, following=following)

    def _redirect_to_login(self, request: Request) -> Response:
        there = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        target = there if request.method == "GET" else "/"
        response = RedirectResponse(f"/login?{urlencode({'next': target})}", SEE_OTHER)
        self._sessions.end(response)
        return response

    # ── Pages and actions of an operator who is logged in ──

    def _list(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._shown(request, lambda call: show(call, request.query_params))

        return endpoint

    async def _job(self, request: Request) -> Response:
        return await self._shown(request, lambda call: self._contents.job(call, request.path_params["job_id"]))

    async def _shown(self, request: Request, show: Callable[[Call], Awaitable[Page]]) -> Response:
        async def respond(call: Call) -> Response:
            page = await show(call)
            return self._pages.page(page.template, page.title, **page.shown)

        return await self._as_caller(request, respond)

    async def _act(self, request: Request) -> Response:
        act = ACTIONS.get((request.path_params["sort"], request.path_params["act"]))
        if act is None:
            return self._problem(_NO_PAGE)
        if not self._sessions.has_own_origin(request):
            return self._problem(_ELSEWHERE)
        form = await read_form(request)
        if form is None or "name" not in form:
            return self._problem(_NO_FORM)
        name = form["name"]

        async def respond(call: Call) -> Response:
            await call(act.method, act.request(name))
            return RedirectResponse(act.then(name), SEE_OTHER)

        return await self._as_caller(request, respond)

    async def _as_caller(self, request: Request, respond: Callable[[Call], Awaitable[Response]]) -> Response:
        token = self._sessions.token(request)
        if token is None:
            return self._redirect_to_login(request)
        redact(token)
        try:
            return await respond(self._calling(token))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:  # the token was revoked
                return self._redirect_to_login(request)
            return self._problem(problem(error))

    def _calling(self, token: str) -> Call:
        async def call(method: str, request: Any) -> Any:
            return await getattr(self._service, method)(request, metadata=(("authorization", f"Bearer {token}"),))

        return call

    def _problem(self, what: ErrorPage) -> Response:
        return self._pages.page("problem.html", what.title, status=what.status, problem=what)

    async def _no_page(self, _request: Request, _error: Exception) -> Response:
        return self._problem(_NO_PAGE)


def _local(target: str) -> str:
    """Returns the address if it is one of the console's, or else "/"."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
