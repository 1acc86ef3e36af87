"""Renders an email: subject, text and HTML from two templates, in the user's language if it has a template.

The same email renders to the same text on every attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound, select_autoescape

DEFAULT_LOCALE = "en"
_SUBJECT = "Subject: "


@dataclass(frozen=True, slots=True)
class Letter:
    """The rendered parts of an email. The bodies may contain a link that grants access."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


def has_template(template: str) -> bool:
    """Returns whether there is a template with that name."""
    return f"{DEFAULT_LOCALE}/{template}.txt" in _environment().list_templates()


def render(
    template: str,
    locale: str,
    *,
    product: str,
    address: str,
    link: str | None = None,
    lifetime: timedelta | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Letter:
    """Renders an email.

    Args:
        template: Its name. The text's first line is the subject.
        locale: The preferred language; English if it has no such template.
        product: The product's name.
        address: The account's address.
        link: The link in it.
        lifetime: How long the link is valid, from when the email was queued.
        parameters: The template's other values, as passed to `post`.

    Raises:
        jinja2.UndefinedError: The template needs a parameter that is missing.
    """
    context = {
        "product": product,
        "address": address,
        "link": link,
        "lifetime": _in_words(lifetime) if lifetime else None,
        **(parameters or {}),
    }
    first, _, text = _template(template, locale, "txt").render(context).partition("\n")
    if not first.startswith(_SUBJECT):
        raise ValueError(f'mail template {template!r}: the text starts with "{_SUBJECT}…"')
    subject = first.removeprefix(_SUBJECT).strip()
    page = _template(template, locale, "html")
    html = page.render(context, subject=subject, language=page.name.partition("/")[0])
    return Letter(subject=subject, text=text.lstrip("\n"), html=html)


def _in_words(length: timedelta) -> str:
    """Formats "24 hours" or "30 minutes": hours if they are whole."""
    minutes = round(length.total_seconds() / 60)
    number, unit = (minutes // 60, "hour") if minutes >= 60 and minutes % 60 == 0 else (minutes, "minute")
    return f"{number} {unit}" + ("s" if number != 1 else "")


def _template(template: str, locale: str, ending: str) -> Any:
    names = [f"{locale}/{template}.{ending}", f"{DEFAULT_LOCALE}/{template}.{ending}"]
    try:
        return _environment().select_template(names)
    except TemplateNotFound as error:
        raise LookupError(f"mail template {template!r} has no .{ending} part") from error


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("api_service.mail", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
