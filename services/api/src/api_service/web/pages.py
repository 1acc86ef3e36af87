"""The pages behind links in emails (confirm an address, choose a new password), and the pages Stripe returns to.

A GET only shows a form, because mail scanners open every link; the form's POST uses the token. There is no cookie and
no session: the token is the whole credential, so a forged request could do no more than its sender could.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api_service.auth.accounts import Accounts
from api_service.auth.errors import HashingBusyError, PasswordRefusedError, TokenInvalidError
from api_service.database import DatabaseUnavailableError
from headrace.chassis.http.bodies import read_form
from headrace.chassis.http.pages import HtmlPages
from headrace.redaction import redact

_DEAD_LINK = "The link was used before, has expired, or a later email replaced it."


class Pages:
    """Serves /verify, /reset and /checkout/…."""

    def __init__(self, accounts: Accounts, *, product: str) -> None:
        self._accounts = accounts
        self._pages = HtmlPages(__package__ or "", product=product)

    def routes(self) -> list[Route]:
        """The pages' routes."""
        return [
            Route("/verify", self._show_verify, methods=["GET"]),
            Route("/verify", self._verify, methods=["POST"]),
            Route("/reset", self._show_reset, methods=["GET"]),
            Route("/reset", self._reset, methods=["POST"]),
            Route("/checkout/complete", self._checkout_complete, methods=["GET"]),
            Route("/checkout/cancelled", self._checkout_cancelled, methods=["GET"]),
        ]

    async def _show_verify(self, request: Request) -> Response:
        token = _token(request)
        if not token:
            return self._no_token()
        return self._pages.page("verify.html", "Confirm your address", token=token)

    async def _verify(self, request: Request) -> Response:
        form = await _form(request)
        if form is None or not form["token"]:
            return self._no_token()
        try:
            await self._accounts.verify_email(form["token"])
        except TokenInvalidError:
            hint = "If you have confirmed your address before, just log in."
            return self._message("This link doesn't work", f"{_DEAD_LINK} {hint}", status=404)
        except DatabaseUnavailableError:
            return self._try_later()
        return self._message("Address confirmed", "Your account is ready: you can log in now.")

    async def _show_reset(self, request: Request) -> Response:
        token = _token(request)
        if not token:
            return self._no_token()
        return self._pages.page("reset.html", "Choose a new password", token=token)

    async def _reset(self, request: Request) -> Response:
        form = await _form(request)
        if form is None or not form["token"]:
            return self._no_token()
        try:
            await self._accounts.reset_password(form["token"], form["password"])
        except PasswordRefusedError as refused:
            error = f"{str(refused).capitalize()}."
            return self._pages.page("reset.html", "Choose a new password", status=422, token=form["token"], error=error)
        except TokenInvalidError:
            return self._message("This link doesn't work", f"{_DEAD_LINK} Ask for a new one.", status=404)
        except (DatabaseUnavailableError, HashingBusyError):
            return self._try_later()
        return self._message("Password saved", "Every device was logged out. Log in with your new password.")

    async def _checkout_complete(self, _request: Request) -> Response:
        return self._message("Thank you", "We will write to you as soon as your subscription is active.")

    async def _checkout_cancelled(self, _request: Request) -> Response:
        return self._message("Nothing was paid", "You left the payment. You can start it again at any time.")

    def _no_token(self) -> Response:
        return self._message("This link is incomplete", "Open it from the email, or copy all of it.", status=400)

    def _try_later(self) -> Response:
        response = self._message("Please try again", "We can't save this right now. Your link still works.", status=503)
        response.headers["Retry-After"] = "5"
        return response

    def _message(self, title: str, message: str, *, status: int = 200) -> Response:
        return self._pages.page("message.html", title, status=status, message=message)


async def _form(request: Request) -> dict[str, str] | None:
    """Returns the posted token (from the form, else from the address) and password; None if the body isn't a form."""
    fields = await read_form(request)
    if fields is None:
        return None
    form = {"token": fields.get("token") or _token(request), "password": fields.get("password", "")}
    for secret in form.values():
        redact(secret)
    return form


def _token(request: Request) -> str:
    """Returns the token in the address, and redacts it in log lines and spans from now on."""
    token = request.query_params.get("token", "")
    redact(token)
    return token
