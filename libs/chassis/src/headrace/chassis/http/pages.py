"""HTML pages from a package's templates. They run no scripts and load nothing from other places."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse


class HtmlPages:
    """The templates in a package's folder `templates`, with the style sheet `style.css` next to them as their `style`.

    Every value in a template is escaped.
    """

    def __init__(self, package: str, *, referrer_policy: str = "no-referrer", **known: Any) -> None:
        """Reads the style sheet.

        Args:
            package: The package of the templates.
            referrer_policy: Which pages get the referrer. With "no-referrer", browsers send no origin with a form
                either (they send "Origin: null").
            known: Values and functions for every template, by name.
        """
        style = (resources.files(package) / "templates/style.css").read_text(encoding="utf-8")
        self._environment = Environment(
            loader=PackageLoader(package, "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(style=Markup(style), error=None, **known)  # noqa: S704 - our own file
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._headers = {
            # The content of a page, and its address, must not leave it or be cached.
            "Referrer-Policy": referrer_policy,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'",
        }

    def page(self, template: str, title: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Returns a page.

        Raises:
            jinja2.TemplateNotFound: There is no such template.
            jinja2.UndefinedError: The template needs a missing value.
        """
        html = self._environment.get_template(template).render(title=title, **context)
        return HTMLResponse(html, status, self._headers)
