"""What the four web apps share: carts, and a listing of each that requests answer with."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sourced import Actor, App, Batch, Command, Event, EventSourcedProjector, command, event
from sourced.types import LaxInt

LISTINGS = Path(os.environ.get("SHOP_LISTINGS", "listings"))


class AddItem(Command, type="web.add_item"):
    """Asks for something to be put into a cart."""

    product_id: str
    price: LaxInt


class ItemAdded(Event, type="web.item_added"):
    """It is in the cart."""

    product_id: str
    price: int


class Cart(Actor[list[str]]):
    """The ids of what is in it."""

    @command
    def add_item(self, items: list[str], cmd: AddItem) -> Iterator[Event]:
        """Whatever is asked for is added."""
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price)

    @event
    def item_added(self, items: list[str], event: ItemAdded) -> None:
        """One more."""
        items.append(event.product_id)


class Listing(EventSourcedProjector[dict[str, Any]]):
    """The read model: a file for each cart."""

    def initial_state(self, stream_id: str) -> dict[str, Any]:
        """Nothing yet."""
        return {"cart": stream_id, "items": 0, "total": 0}

    @event
    def item_added(self, listing: dict[str, Any], event: ItemAdded) -> None:
        """Count and sum up."""
        listing["items"] += 1
        listing["total"] += event.price

    def sync(self, listing: dict[str, Any], batch: Batch) -> None:
        """Write the whole file: done twice, it comes to the same."""
        LISTINGS.mkdir(exist_ok=True)
        draft = LISTINGS / f"{batch.stream_id}.draft"
        draft.write_text(json.dumps(listing))
        draft.replace(LISTINGS / f"{batch.stream_id}.json")  # readers see the old or the new


def listing_of(cart_id: str) -> dict[str, Any]:
    """What the read model says of a cart."""
    listing: dict[str, Any] = json.loads((LISTINGS / f"{cart_id}.json").read_text())
    return listing


app = App(os.environ.get("SHOP_URL", "sqlite:///shop.db"))
app.register(Cart, Listing)
