"""The catcher's HTTP interface: a page to read emails, and JSON for tests.

The page doesn't trust the content of emails: text is escaped, and HTML is shown in a frame without scripts, forms or an
origin, which loads nothing.

Routes: ``GET /`` and ``/mail/{id}`` pages · ``GET /mails[?to=&after=&count=&wait=]`` · ``GET /mails/{id}`` ·
``GET /mails/{id}/source`` · ``GET /mails/{id}/html`` · ``DELETE /mails`` · ``POST /hold {"seconds", "count", "to"}`` ·
``DELETE /hold`` · ``GET /ledger[?to=&outcome=&count=&wait=]``.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from local_stack.mail_catcher.mailbox import Hold, Mail, Mailbox, Transaction, addressed

PAGES = Path(__file__).parent / "pages"
PAGE_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'"
# The sandbox allows links of the email to open in a new tab, and nothing else.
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
LONGEST_WAIT = 60.0
"""How many seconds a request may wait."""
LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
Item = TypeVar("Item")


def create_app(mailbox: Mailbox) -> Starlette:
    """Returns the application for a mailbox."""
    web = _Web(mailbox)
    return Starlette(
        routes=[
            Route("/", web.page),
            Route("/mail/{id:int}", web.page),
            Route("/style.css", web.style),
            Route("/refresh.js", web.script),
            Route("/mails", web.list_mails),
            Route("/mails", web.delete_mails, methods=["DELETE"]),
            Route("/mails/{id:int}", web.get_mail),
            Route("/mails/{id:int}/source", web.get_source),
            Route("/mails/{id:int}/html", web.get_html),
            Route("/hold", web.hold, methods=["POST"]),
            Route("/hold", web.release, methods=["DELETE"]),
            Route("/ledger", web.get_ledger),
        ],
        # Emails contain links that grant access: a foreign page must not read them by rebinding its name to loopback.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


class _Web:
    """The endpoints."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        templates = Environment(loader=FileSystemLoader(PAGES), autoescape=True)
        templates.filters["linked"] = linked
        templates.filters["clock"] = lambda moment: moment.astimezone().strftime("%H:%M:%S")
        self._template = templates.get_template("page.html")

    async def page(self, request: Request) -> Response:
        """Shows the list and one email: the newest unless the address names one."""
        mails = self._mailbox.mails()[::-1]
        chosen = self._named(request) if "id" in request.path_params else (mails[0] if mails else None)
        view = request.query_params.get("view", "html" if chosen and chosen.body("html") else "text")
        content = self._template.render(mails=mails, chosen=chosen, view=view, newest=self._mailbox.newest_id)
        return HTMLResponse(content, headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"})

    async def style(self, _: Request) -> Response:
        """Serves the style sheet."""
        return FileResponse(PAGES / "style.css")

    async def script(self, _: Request) -> Response:
        """Serves the script that shows new emails as they arrive."""
        return FileResponse(PAGES / "refresh.js")

    async def list_mails(self, request: Request) -> Response:
        """Returns emails, oldest first; waits until there are as many as requested."""
        to, after = request.query_params.get("to", ""), int(_number(request, "after", default=0))
        mails = await self._awaited(request, lambda: self._mailbox.mails(to=to, after=after))
        return JSONResponse({"mails": [mail_json(mail) for mail in mails], "newest_id": self._mailbox.newest_id})

    async def delete_mails(self, _: Request) -> Response:
        """Deletes all emails."""
        self._mailbox.clear()
        return Response(status_code=204)

    async def get_mail(self, request: Request) -> Response:
        """Returns one email."""
        return JSONResponse(mail_json(self._named(request)))

    async def get_source(self, request: Request) -> Response:
        """Returns an email's bytes, as received."""
        return Response(
            self._named(request).raw, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"}
        )

    async def get_html(self, request: Request) -> Response:
        """Returns an email's HTML body, for the frame on the page."""
        body = self._named(request).body("html")
        # The email's links open in a new tab: the frame itself must not navigate.
        return HTMLResponse(f'<base target="_blank">{body}', headers={"Content-Security-Policy": MAIL_POLICY})

    async def hold(self, request: Request) -> Response:
        """Delays the replies to the next emails."""
        given = await request.json()
        if not isinstance(given, dict) or not isinstance(given.get("seconds"), int | float):
            raise HTTPException(400, 'Say how long: {"seconds": 10, "count": 1, "to": "someone@example.com"}')
        self._mailbox.hold(Hold(float(given["seconds"]), int(given.get("count", 1)), str(given.get("to", ""))))
        return Response(status_code=204)

    async def release(self, _: Request) -> Response:
        """Sends all delayed replies, and delays no more."""
        self._mailbox.release()
        return Response(status_code=204)

    async def get_ledger(self, request: Request) -> Response:
        """Returns every transaction, oldest first; waits until there are as many as requested."""
        to, outcome = request.query_params.get("to", ""), request.query_params.get("outcome", "")

        def matching() -> list[Transaction]:
            return [
                entry
                for entry in self._mailbox.ledger
                if (not to or addressed(to, entry.recipients)) and outcome in ("", entry.outcome)
            ]

        return JSONResponse(
            {"transactions": [transaction_json(entry) for entry in await self._awaited(request, matching)]}
        )

    def _named(self, request: Request) -> Mail:
        mail = self._mailbox.mail(request.path_params["id"])
        if mail is None:
            raise HTTPException(404, "There is no such email, or no longer.")
        return mail

    async def _awaited(self, request: Request, items: Callable[[], Sequence[Item]]) -> Sequence[Item]:
        count, wait = int(_number(request, "count", default=1)), _number(request, "wait", default=0)
        if wait > 0:
            await self._mailbox.wait_until(lambda: len(items()) >= count, seconds=min(wait, LONGEST_WAIT))
        return items()


def _number(request: Request, name: str, *, default: float) -> float:
    given = request.query_params.get(name)
    try:
        return default if given is None else float(given)
    except ValueError:
        raise HTTPException(400, f"{name} must be a number; it was {given!r}") from None


def linked(text: str) -> Markup:
    """Returns plain text as HTML, with http(s) addresses as links."""
    pieces: list[Markup] = []
    end = 0
    for match in LINK.finditer(text):
        url = match.group()
        pieces += [
            escape(text[end : match.start()]),
            Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(url),
        ]
        end = match.end()
    return Markup("").join([*pieces, escape(text[end:])])


def mail_json(mail: Mail) -> dict[str, Any]:
    """Returns an email as JSON."""
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "sender": mail.sender,
        "recipients": list(mail.recipients),
        "from": mail.header("From"),
        "to": mail.header("To"),
        "subject": mail.header("Subject"),
        "message_id": mail.header("Message-ID").strip(),
        "text": mail.body("plain"),
        "html": mail.body("html"),
        "raw": mail.raw.decode("utf-8", "replace"),
    }


def transaction_json(transaction: Transaction) -> dict[str, Any]:
    """Returns a transaction as JSON."""
    return {
        "id": transaction.id,
        "started_at": transaction.started_at.isoformat(),
        "recipients": list(transaction.recipients),
        "message_id": transaction.message_id,
        "outcome": transaction.outcome,
        "mail_id": transaction.mail_id,
    }
