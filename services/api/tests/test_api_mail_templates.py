"""The exact text of emails: compares each template with a file next to this test.

A change that is meant is taken over with UPDATE_GOLDEN=1.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from api_service.mail.rendering import has_template, render

GOLDEN = Path(__file__).parent / "golden"
LINK = "https://app.example.com/verify?token=dG9rZW4&x=1"
LETTERS = {
    "verify_email": {"link": LINK, "lifetime": timedelta(hours=24)},
    "already_registered": {"link": LINK, "lifetime": timedelta(minutes=30)},
    "reset_password": {"link": LINK, "lifetime": timedelta(minutes=90)},
    "password_changed": {},
    "subscription_active": {"parameters": {"renews_on": "2026-12-24"}},
    "subscription_ended": {},
    "payment_failed": {},
}


@pytest.mark.parametrize("template", LETTERS)
def test_a_mail_says_what_its_golden_file_says(template: str) -> None:
    letter = render(template, "en", product="Mill & Co", address="ada<b>@example.com", **LETTERS[template])  # type: ignore[arg-type]
    written = f"Subject: {letter.subject}\n\n{letter.text}\n{letter.html}"
    kept = GOLDEN / f"{template}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(written, encoding="utf-8")
    assert written == kept.read_text(encoding="utf-8")


def test_html_is_escaped_and_text_is_not() -> None:
    letter = render("verify_email", "en", product="Mill & Co", address="a", link=LINK, lifetime=timedelta(hours=1))
    assert "Mill & Co" in letter.text
    assert LINK in letter.text
    assert "Mill &amp; Co" in letter.html
    assert "token=dG9rZW4&amp;x=1" in letter.html


def test_a_language_that_is_not_there_falls_back_to_english() -> None:
    english = render("password_changed", "en", product="P", address="a")
    assert render("password_changed", "xx", product="P", address="a") == english


def test_a_missing_parameter_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(UndefinedError):
        render("subscription_active", "en", product="P", address="a")


def test_every_template_has_both_parts_and_a_golden_file() -> None:
    folder = Path(__file__).parents[1] / "src/api_service/mail/templates/en"
    names = {path.stem for path in folder.iterdir()}
    assert names == set(LETTERS)
    for name in names:
        assert has_template(name)
        assert (folder / f"{name}.html").exists()
