"""What the stand-in remembers: every object under its id, in the order in which it was made."""

from collections.abc import Iterator
from typing import Any

from fake_stripe.errors import invalid, missing

Object = dict[str, Any]
_BOUNDS = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}


class Store:
    """Objects in memory. Not safe for threads: it lives on one event loop."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}

    def add(self, item: Object) -> Object:
        """Keeps a new object and returns it."""
        self._objects[item["id"]] = item
        return item

    def get(self, kind: str, object_id: str, param: str = "id") -> Object:
        """Returns an object.

        Args:
            kind: Its type, as its `object` field has it.
            object_id: Its id.
            param: The request's parameter that named it.

        Raises:
            StripeError: There is no object of that type with that id (`resource_missing`).
        """
        item = self._objects.get(object_id)
        if item is None or item["object"] != kind:
            raise missing(kind.rsplit(".", 1)[-1], object_id, param)
        return item

    def all(self, kind: str) -> Iterator[Object]:
        """Every object of a type, oldest first."""
        return (item for item in self._objects.values() if item["object"] == kind)

    def page(self, kind: str, url: str, params: dict[str, Any], filters: tuple[str, ...] = ()) -> Object:
        """Returns one page of a list as Stripe pages it: newest first, by cursor.

        Args:
            kind: The objects' type.
            url: The list's own path.
            params: `limit` (1 to 100, 10 if unset), `starting_after`, `ending_before`, `created` (a second, or bounds).
            filters: Fields that may be asked for by equality.

        Raises:
            StripeError: A parameter is out of range, or a cursor names no object of the list.
        """
        items = [item for item in reversed(list(self.all(kind))) if _wanted(item, params, filters)]
        limit = _limit(params.get("limit", "10"))
        if after := params.get("starting_after"):
            items = items[self._place(items, kind, after, "starting_after") + 1 :]
            page, more = items[:limit], len(items) > limit
        elif before := params.get("ending_before"):
            items = items[: self._place(items, kind, before, "ending_before")]
            page, more = items[-limit:], len(items) > limit
        else:
            page, more = items[:limit], len(items) > limit
        return {"object": "list", "data": page, "has_more": more, "url": url}

    def expand(self, item: Object, paths: list[str]) -> Object:
        """Returns a copy of an object in which the named ids are replaced by their objects."""
        for path in paths:
            head, _, rest = path.partition(".")
            value = item.get(head)
            if isinstance(value, list):
                item = item | {head: [self.expand(child, [rest]) if rest else child for child in value]}
                continue
            child = self._objects.get(value) if isinstance(value, str) else value
            if not isinstance(child, dict):
                raise invalid(f"This property cannot be expanded ({path}).", "expand")
            item = item | {head: self.expand(child, [rest]) if rest else child}
        return item

    @staticmethod
    def _place(items: list[Object], kind: str, object_id: str, param: str) -> int:
        for place, item in enumerate(items):
            if item["id"] == object_id:
                return place
        raise missing(kind, object_id, param)


def _wanted(item: Object, params: dict[str, Any], filters: tuple[str, ...]) -> bool:
    if any(params.get(name) not in (None, item.get(name)) for name in filters):
        return False
    if "types" in params and item.get("type") not in params["types"]:
        return False
    created = params.get("created", {})
    if isinstance(created, str):
        return bool(item["created"] == int(created))
    return all(_BOUNDS[bound](item["created"], int(at)) for bound, at in created.items())


def _limit(given: str) -> int:
    if not given.isdigit() or not 1 <= int(given) <= 100:
        raise invalid(f"Invalid limit: {given}. It must be between 1 and 100.", "limit", "parameter_invalid_integer")
    return int(given)
