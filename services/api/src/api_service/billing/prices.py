"""The prices that are sold, and what a subscription to each entitles to."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_ENTITLEMENT = "subscription"
_ENTRY = re.compile(r"(?P<price>[A-Za-z0-9_]{1,100})(=(?P<entitlement>[a-z][a-z0-9_.-]{0,62}))?")


@dataclass(frozen=True, slots=True)
class PriceList:
    """The allow-list of prices.

    Attributes:
        entitlements: The entitlement that each price gives, by the price's id.
    """

    entitlements: MappingProxyType[str, str]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "PriceList":
        """Reads entries as STRIPE_PRICES has them: "price_1Abc=pro", or "price_1Abc" alone for "subscription".

        Keep a price in the list while anyone is subscribed to it, even if it is no longer sold.

        Raises:
            ValueError: An entry has neither form, or a price is in the list twice.
        """
        entitlements: dict[str, str] = {}
        for entry in entries:
            match = _ENTRY.fullmatch(entry)
            if match is None:
                raise ValueError(f'"{entry}": expected a price, or a price and what it entitles to: "price_1Abc=pro"')
            if match["price"] in entitlements:
                raise ValueError(f'"{match["price"]}" is in the list twice')
            entitlements[match["price"]] = match["entitlement"] or DEFAULT_ENTITLEMENT
        return cls(MappingProxyType(entitlements))

    def __contains__(self, price_id: str) -> bool:
        """Returns whether the price is sold."""
        return price_id in self.entitlements
