"""What the kernel's tests add to the cart: reactors that write down what they were given."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sourced import Actor, Batch, Command, Event, Events, StateStoredProjector, command, event
from sourced_testing.examples import AddItem, Cart, CartState, ItemAdded, Touch

__all__ = [
    "Look",
    "Noted",
    "Place",
    "Reject",
    "Rejected",
    "RowCount",
    "RowCounts",
    "SendMail",
    "Step",
    "Walker",
    "WatchedCart",
]


class Noted(Event, type="watched.noted"):
    """Nobody evolves from this."""


class SendMail(Command, type="watched.send_mail"):
    """What a reaction sends, with how many items it saw."""

    product_id: str
    seen: int = 0


class Reject(Command, type="watched.reject"):
    """Yield an event, then fail."""


class Rejected(Exception):  # noqa: N818 - a refusal, in the user's words
    """What `Reject` fails with."""


class WatchedCart(Cart):
    """A cart that writes down the state each command saw.

    Attributes:
        seen: the products in the cart, a command an entry.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, ...]] = []

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        """Put a product into the cart."""
        self.seen.append(cart.product_ids)
        yield from super().add_item(cart, cmd)

    @command
    def touch(self, cart: CartState, cmd: Touch) -> None:
        """Decide nothing."""
        self.seen.append(cart.product_ids)

    @command
    def reject(self, cart: CartState, cmd: Reject) -> Events:
        """Fail after the state has an event that must not be kept."""
        yield ItemAdded(product_id="never")
        assert "never" in cart.product_ids
        raise Rejected


class Step(Event, type="watched.step"):
    """Go on, by so much."""

    by: int = 1


class Look(Command, type="watched.look"):
    """Write down where the walker is."""


@dataclass(frozen=True)
class Place:
    """A state that events replace rather than change."""

    at: int = 0


class Walker(Actor[Place]):
    """An actor of a frozen state.

    Attributes:
        seen: where it was, a `Look` an entry.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []

    @command
    def look(self, place: Place, cmd: Look) -> None:
        """Write down where it is."""
        self.seen.append(place.at)

    @event
    def step(self, place: Place, event: Step) -> Place:
        """Go on."""
        return replace(place, at=place.at + event.by)


@dataclass
class RowCount:
    """How many events a stream had."""

    id: str
    count: int = 0


class RowCounts(StateStoredProjector[RowCount]):
    """Keeps a row per stream in a dict; what counts is an event handler of the subclass.

    Attributes:
        rows: the counts by stream.
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def load(self, stream_id: str, connection: object) -> RowCount | None:
        """Return a stream's row, if there is one."""
        return RowCount(stream_id, self.rows[stream_id]) if stream_id in self.rows else None

    def sync(self, row: RowCount, batch: Batch) -> None:
        """Write a stream's row."""
        self.rows[row.id] = row.count
