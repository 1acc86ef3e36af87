"""Form-encoded parameters, nested the way Stripe's own libraries send them.

`line_items[0][price]=p&metadata[user]=7` becomes `{"line_items": [{"price": "p"}], "metadata": {"user": "7"}}`.
Values stay strings, as on the wire.
"""

import re
from typing import Any
from urllib.parse import parse_qsl

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def decode(encoded: str) -> dict[str, Any]:
    """Decodes a query string or a form body.

    Args:
        encoded: The encoded pairs.

    Returns:
        Nested dicts; a dict whose keys are all numbers is a list. `metadata` is always a dict, whatever its keys.

    Raises:
        ValueError: A key is not `name[part][part]…`, or it is used both as a value and as a container.
    """
    root: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        match = _KEY.match(key)
        if match is None:
            raise ValueError(f"the parameter name {key!r} can't be read")
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        _put(root, path, value, key)
    return {name: _listed(name, value) for name, value in root.items()}


def _put(node: dict[str, Any], path: list[str], value: str, key: str) -> None:
    for part in path[:-1]:
        child = node.setdefault(part or str(len(node)), {})
        if isinstance(child, str):
            raise ValueError(f"{key!r} is used both as a value and as a container")  # noqa: TRY004 - a bad request
        node = child
    node[path[-1] or str(len(node))] = value


def _listed(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if name != "metadata" and value and all(part.isdigit() for part in value):
        return [_listed("", value[part]) for part in sorted(value, key=int)]
    return {part: _listed(part, child) for part, child in value.items()}
