"""Reads plans of Postgres."""

from __future__ import annotations

import json
from typing import Any


def plan_of(answer: Any) -> dict[str, Any]:
    """The top node of an answer to EXPLAIN (FORMAT JSON)."""
    found = answer if isinstance(answer, list) else json.loads(answer)
    top: dict[str, Any] = found[0]["Plan"]
    return top


def scans(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """Each scan of the jobs table in a plan: its type, and its index."""
    found = []
    if plan.get("Relation Name") == "jobs" and "Scan" in plan["Node Type"]:
        found.append((plan["Node Type"], plan.get("Index Name", "")))
    for part in plan.get("Plans", []):
        found += scans(part)
    return found
