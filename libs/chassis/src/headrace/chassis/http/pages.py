"""HTML pages from a package's templates, that run no script and load nothing from anywhere."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import HTMLResponse


class HtmlPages:
    """The templates in a package's folder `templates`, with the sheet `style.css` beside them as their `style`.

    Everything that a template is given is escaped.
    """

    def __init__(self, package: str, *, referrer_policy: str = "no-referrer", **known: Any) -> None:
        """Reads the sheet.

        Args:
            package: Whose templates they are.
            referrer_policy: Which pages are told where one came from. With "no-referrer", browsers name no origin with
                a form either (they send "Origin: null").
            known: What every template knows: values and functions, by name.
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
            # What stands on a page, or in its address, must not leave it, nor stay anywhere.
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
            jinja2.UndefinedError: The template needs what it was not given.
        """
        html = self._environment.get_template(template).render(title=title, **context)
        return HTMLResponse(html, status, self._headers)
