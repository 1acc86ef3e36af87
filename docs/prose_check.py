"""Keeps turns of phrase out of the project's texts that a native engineer would not use.

    python docs/prose_check.py    exit 1 when a tracked file has one; each is printed with what to write instead

Reads documents, contracts, statements and Python files whole, names and strings included. CONTRIBUTING.md says how
the project's texts are to read.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = (".md", ".py", ".proto", ".sql", ".html", ".mk", ".yaml", ".toml", ".txt", "Makefile")
LEFT_OUT = (
    "docs/prose_check.py",
    "proto/gen/",
    "requirements",
    "services/api/src/api_service/auth/common_passwords.txt",
)
TURNS = {
    r"\banew\b": "again, from scratch",
    r"\bmend(?:s|ed|ing)?\b": "fix, repair",
    r"\bat the door\b|\bdoors?\b": "on enqueue; the listener, the endpoint",
    r"\b(?:in|into) line\b(?! (?:\d|of|and|with|for|if)\b|[\[)]|$)|\bthe queue's line\b": "queued, waiting, available",
    r"\bin (?:its|their|his) stead\b|\bin the place of\b": "instead of",
    r"\b(?:is|are|was|were|be) none of\b": "is not one of",
    r"\b(?:some|no)body\b(?![@\"])": "the caller, another worker, an operator",
    r"\bof (?:its|their|one's) own\b": "its own, a separate",
    r"\b(?:let|lets|letting) (?:\w+ )?in\b(?! progress)": "accept, allow",
    r"\bin other hands\b": "claimed by another worker",
    r"\bhand(?:s|ed|ing)?(?: (?:it|them|jobs))? back\b": "release",
    r"(?:^|[;,.:]\s+|\band |\bit |\"\"\")[Aa]nswers (?=[\w`])": "returns",
    r"\bwork(?:s|ed|ing)?(?: \w+)? off\b": "process, run",
    r"\b(?:un)?veil(?:s|ed|ing)?\b": "redact",
    r"\bbelongs? into\b": "belongs in",
    r"\b(?<!there )(?<!There )(?:is|are) no (?:job|kind|message|connection|outcome|list|number|form|bug)\b": "is not a",
}


def lines() -> Iterator[tuple[str, int, str]]:
    """Every line that is looked at: file, number, text."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if name.endswith(KINDS) and not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            yield from ((name, number, line) for number, line in enumerate(text.splitlines(), 1))


def main() -> None:
    """The command."""
    turns = [(re.compile(pattern), instead) for pattern, instead in TURNS.items()]
    found = [
        f"{name}:{number}: {turn[0].strip()!r}; write: {instead}"
        for name, number, line in lines()
        for pattern, instead in turns
        for turn in pattern.finditer(line)
    ]
    if found:
        raise SystemExit("\n".join([*found, f"{len(found)} turns of phrase to rewrite"]))


if __name__ == "__main__":
    main()
