"""Fills in and sends the form of a page, as a browser does."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from local_stack.output.report import check


class Form(HTMLParser):
    """The first form of a page, with its fields and their values."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self._page = page
        self._forms = 0
        self.action = str(page.url)
        self.method = "get"
        self.fields: dict[str, str] = {}
        self.feed(page.text)
        check(self._forms, f"{page.url} has no form: {page.text[:200]!r}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Reads a tag; called by the parser."""
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
            browser: The client to send it with.
            filled_in: Values for empty fields, by type of field; only ``password`` is supported.
        """
        empty = {name: filled_in["password"] for name in self.fields if "password" in name}
        return browser.request(self.method, self.action, data=self.fields | empty)
