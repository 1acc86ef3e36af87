"""What the pages name is there: files, headings, make targets, programs and their commands, tests, settings."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from opentelemetry import environment_variables as api_variables
from opentelemetry.sdk import environment_variables as sdk_variables
from typer.testing import CliRunner

from jobs_service.callers.file import read_callers

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGES = [
    *ROOT.glob("*.md"),
    *(
        page
        for folder in ("docs", "libs", "proto", "services", "deploy", "tests")
        for page in (ROOT / folder).rglob("*.md")
    ),
]
PROJECTS = [*ROOT.glob("proto/pyproject.toml"), *ROOT.glob("*/*/pyproject.toml")]
REFERENCE = ROOT / "docs/settings.md"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(?P<text>[^`\n]+)`")
MAKE = re.compile(r"\bmake (?:\w+=\S+ )*(?P<target>[a-z][\w-]*)")
SETTING = re.compile(r"\b(?:API|JOBS|SMTP|STRIPE|LOG|OTEL)_[A-Z0-9_]*[A-Z0-9]\b")
# A path in backticks: with a slash, from the root of the repository.
PATH = re.compile(r"(?:proto|libs|services|deploy|tests|docs|make)/[\w./-]+\w|\.ci/run")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code(text: str) -> Iterator[str]:
    """Everything on a page that is code: the lines of shell blocks, and what stands in backticks."""
    for block in BLOCK.finditer(text):
        if block["language"] in {"sh", "bash"}:
            yield from block["text"].splitlines()
    for span in SPAN.finditer(BLOCK.sub("", text)):
        yield span["text"]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path, wanted: Iterable[str], there: Iterable[str]) -> str:
    return f"{page.relative_to(ROOT)} names what isn't there: {', '.join(sorted({*wanted} - {*there}))}"


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        path, _, anchor = match["target"].partition("#")
        if path.startswith(("http://", "https://")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{match['target']} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{match['target']}: no such heading"


@pages
def test_every_make_target_is_there(page: Path) -> None:
    files = [ROOT / "Makefile", *ROOT.glob("make/*.mk")]
    targets = {name for file in files for name in re.findall(r"^([a-z-]+):", file.read_text(), re.MULTILINE)}
    named = {match["target"] for text in code(page.read_text(encoding="utf-8")) for match in MAKE.finditer(text)}
    assert named <= targets, missing(page, named, targets)


@pages
def test_every_path_is_there(page: Path) -> None:
    for text in code(page.read_text(encoding="utf-8")):
        for path in PATH.findall(text):
            assert (ROOT / path).exists() or path in written_by_readme(), f"{path} isn't there"


def written_by_readme() -> set[str]:
    """Files that a reader of the README's four steps writes."""
    return set(re.findall(r"^```\w+ (\S+/\S+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: str(project.parent.relative_to(ROOT)))
def test_a_distribution_says_its_licence_and_its_readme(project: Path) -> None:
    told = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    assert (told["license"], told["requires-python"]) == ("Apache-2.0", ">=3.11")
    assert ("readme" in {*told, *told.get("dynamic", ())}) == (project.parent / "README.md").exists()


def our_programs() -> dict[str, str]:
    """The module of each program, by the program's name."""
    projects = [tomllib.loads(file.read_text(encoding="utf-8")) for file in PROJECTS]
    scripts = {name: main for project in projects for name, main in project["project"].get("scripts", {}).items()}
    return {name: main.partition(":")[0] for name, main in scripts.items()}


def test_every_command_of_our_programs_can_be_called() -> None:
    programs = our_programs()
    lines = [text.split() for page in PAGES for text in code(page.read_text(encoding="utf-8"))]
    commands = {tuple(words[:3]) for words in lines if words and words[0] in programs}
    assert {words[0] for words in commands} == programs.keys(), "a program is on no page"
    for program, *arguments in commands:
        assert (BIN / program).exists(), f"{program} isn't installed"
        app = getattr(importlib.import_module(programs[program]), "app", None)
        words = [argument for argument in arguments if re.fullmatch(r"[a-z]+(-[a-z]+)*", argument)]
        if app is not None:
            called = CliRunner().invoke(app, [*words, "--help"])
            assert called.exit_code == 0, f"{program} {' '.join(words)}: {called.output}"


# Other programs' own, and what a harness tells the programs that it starts itself.
NOBODYS = {"PATH", "UV", "PYTHONPATH", "GRPC_ENABLE_FORK_SUPPORT", "CHAOS_DSN", "CHAOS_NAME"}


def test_every_variable_that_is_read_is_in_the_reference() -> None:
    reference = REFERENCE.read_text(encoding="utf-8")
    named = {name for page in PAGES for name in SETTING.findall(page.read_text(encoding="utf-8"))}
    read = {name for folder in ("libs", "services", "deploy", "tests") for name in read_in(ROOT / folder)}
    absent = sorted(name for name in (named | read) - NOBODYS if f"`{name}`" not in reference)
    assert not absent, f"docs/settings.md lacks {', '.join(absent)}"


def read_in(folder: Path) -> Iterator[str]:
    """The names of the variables that Python code reads from os.environ by themselves."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Subscript(ast.Attribute(attr="environ"), ast.Constant(str(name))) | ast.Call(
                    ast.Attribute(ast.Attribute(attr="environ"), "get"), [ast.Constant(str(name)), *_]
                ):
                    yield name


def test_the_reference_is_what_the_classes_say() -> None:
    command = [sys.executable, str(ROOT / "docs/settings_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_stale_reference_is_reported(tmp_path: Path) -> None:
    program, page = (tmp_path / name for name in ("settings_reference.py", "settings.md"))
    program.write_bytes((ROOT / "docs/settings_reference.py").read_bytes())
    page.write_text(REFERENCE.read_text(encoding="utf-8").replace("| `JOBS_TIMEOUT` |", "| `JOBS_TIME` |"))
    done = subprocess.run([sys.executable, program, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "docs/settings.md is stale" in done.stderr


def test_opentelemetry_knows_its_variables_that_the_reference_names() -> None:
    known = {name for module in (api_variables, sdk_variables) for name in vars(module)}
    named = set(re.findall(r"`(OTEL_\w+)`", REFERENCE.read_text(encoding="utf-8")))
    assert named
    assert named <= known, missing(REFERENCE, named, known)


def test_the_callers_file_of_its_page_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs/callers.md").read_text(encoding="utf-8")
    [example] = [block["text"] for block in BLOCK.finditer(page) if block["language"] == "toml"]
    (tmp_path / "callers.toml").write_text(example)
    assert [caller.name for caller in read_callers(tmp_path / "callers.toml").all] == ["api", "operators"]
