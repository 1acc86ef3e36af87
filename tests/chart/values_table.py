"""Makes the table of values in the chart's README from the comments of its values.yaml.

Every value has a comment that starts with "# --" right above it; one above a map speaks for the whole map.
`python tests/chart/values_table.py` rewrites the README; with --check it says what is missing, and ends with 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "deploy/k8s"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_]+):")
_COMMENT = re.compile(r"^ *# -- (?P<text>.*)$")
_BLOCK = re.compile(
    r"(?P<begin><!-- values: made from .*? -->\n)(?P<table>.*?)(?P<end><!-- values: end -->)", re.DOTALL
)


def documented(source: str) -> dict[str, str]:
    """The path of each commented key, and its comment, in the file's order."""
    comments: dict[str, str] = {}
    path: list[str] = []
    comment: str | None = None
    for line in source.splitlines():
        if match := _COMMENT.match(line):
            comment = match["text"]
        elif match := _KEY.match(line):
            path = [*path[: len(match["indent"]) // 2], match["key"]]
            if comment is not None:
                comments[".".join(path)] = comment
            comment = None
    return comments


def undocumented(source: str) -> list[str]:
    """The paths of the values that no comment speaks for."""
    comments = documented(source)

    def walk(value: Any, path: tuple[str, ...]) -> Iterator[str]:
        if ".".join(path) in comments:
            return
        if not isinstance(value, dict) or not value:
            yield ".".join(path)
            return
        for key, below in value.items():
            yield from walk(below, (*path, key))

    return list(walk(yaml.safe_load(source), ()))


def table(source: str) -> str:
    """The table, in Markdown."""
    values = yaml.safe_load(source)
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for path, comment in documented(source).items():
        default: Any = values
        for key in path.split("."):
            default = default[key]
        rows.append(
            f"| `{path}` | `{json.dumps(default, ensure_ascii=False)}` | {comment.replace('|', chr(92) + '|')} |"
        )
    return "\n".join(rows) + "\n"


def with_table(readme: str, source: str) -> str:
    """The README with the table that belongs to these values."""
    return _BLOCK.sub(lambda match: match["begin"] + "\n" + table(source) + "\n" + match["end"], readme)


def main() -> None:
    """Rewrites or checks the README of a chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 where something is missing")
    parser.add_argument("chart", nargs="?", type=Path, default=CHART)
    arguments = parser.parse_args()
    page = arguments.chart / "README.md"
    source = (arguments.chart / "values.yaml").read_text(encoding="utf-8")
    if missing := undocumented(source):
        sys.exit(f'values.yaml: no "# --" comment above {", ".join(missing)}')
    wanted = with_table(page.read_text(encoding="utf-8"), source)
    if not arguments.check:
        page.write_text(wanted, encoding="utf-8")
    elif page.read_text(encoding="utf-8") != wanted:
        sys.exit("README.md: the table of values is stale; run `python tests/chart/values_table.py`")


if __name__ == "__main__":
    main()
