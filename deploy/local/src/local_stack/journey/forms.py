"""A browser's way through a page with a form: read the page, fill in the form, send it where it says."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from local_stack.output.report import check


class Form(HTMLParser):
    """The first form of a page, with the fields that it has and the values they come with."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self._page = page
        self._forms = 0
        self.action = str(page.url)
        self.method = "get"
        self.fields: dict[str, str] = {}
        self.feed(page.text)
        check(self._forms, f"{page.url} shows no form: {page.text[:200]!r}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser for each tag."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._forms += 1
            if self._forms == 1:
                self.method = given.get("method", "get").lower()
                self.action = urljoin(self.action, given.get("action") or str(self._page.url))
        elif tag == "input" and self._forms == 1 and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def submit(self, browser: httpx.Client, **filled_in: str) -> httpx.Response:
        """Sends the form.

        Args:
            browser: Who sends it.
            filled_in: Values for every field that comes empty, by type of field: only ``password`` so far.
        """
        empty = {name: filled_in["password"] for name in self.fields if "password" in name}
        return browser.request(self.method, self.action, data=self.fields | empty)
