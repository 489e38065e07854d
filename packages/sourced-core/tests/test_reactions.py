"""Reactions see the state as of their own event, and say what follows, where and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sourced import (
    Ack,
    Actor,
    Append,
    Dispatch,
    Event,
    Events,
    Fail,
    Outcome,
    Schedule,
    command,
    event,
    new_stream,
    react,
)
from sourced._messages import with_meta
from sourced._outcomes import Yielded
from sourced.errors import PayloadError, UsageError
from sourced_testing._list_stream import ListStream, appended, handled, only
from sourced_testing._watched import Noted, Rejected, SendMail, Step
from sourced_testing.examples import AddItem, Cart, CartState, ItemAdded


class Mailer(Cart):
    @react
    def mail(self, cart: CartState, event: ItemAdded) -> Yielded:
        yield SendMail(product_id=event.product_id, seen=len(cart.items))


@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_reaction_sees_the_state_as_of_its_own_event(size: int) -> None:
    """T7: whatever the batching."""
    stream = ListStream("cart-1", *(ItemAdded(product_id=str(n)) for n in range(10)))

    outcomes: list[Outcome] = []
    for start in range(0, 10, size):
        batch = stream.batch(after=start, upto=start + size)
        outcomes += handled(Mailer(), batch)

    assert [message.payload["seen"] for message in appended(outcomes)] == list(range(1, 11))


def test_reactions_and_decisions_of_one_batch_do_not_mix_their_states() -> None:
    stream = ListStream(
        "cart-1", ItemAdded(product_id="a"), AddItem(product_id="b"), ItemAdded(product_id="c")
    )

    outcomes = handled(Mailer(), stream.batch())
    stream.commit(outcomes)

    mails = [message for message in appended(outcomes) if isinstance(message, SendMail)]
    assert [mail.seen for mail in mails] == [1, 2]
    assert stream.remembered["decide"].state.product_ids == ("a", "c", "b")
    assert stream.remembered["react"].state.product_ids == ("a", "c")


def test_the_state_of_reactions_is_remembered_on_its_own() -> None:
    stream = ListStream("cart-1", ItemAdded(product_id="a"))
    stream.commit(handled(Mailer(), stream.batch()))
    seq = stream.head
    stream.add(ItemAdded(product_id="b"))

    outcomes = handled(Mailer(), stream.batch(after=seq))

    assert stream.reads == [(0, 1), (1, seq + 1)]
    assert appended(outcomes) == [SendMail(product_id="b", seen=2)]


def test_a_remembered_state_of_later_messages_is_not_used_for_an_earlier_one() -> None:
    stream = ListStream("cart-1", *(ItemAdded(product_id=str(n)) for n in range(3)))
    stream.commit(handled(Mailer(), stream.batch()))

    outcomes = handled(Mailer(), stream.batch(after=1, upto=2))

    assert appended(outcomes) == [SendMail(product_id="1", seen=2)]


def test_a_reaction_without_state_reads_no_history() -> None:
    class Plain(Actor[CartState]):
        @event
        def item_added(self, cart: CartState, event: ItemAdded) -> None: ...

        @react
        def mail(self, event: ItemAdded) -> SendMail:
            return SendMail(product_id=event.product_id)

    stream = ListStream("cart-1", ItemAdded(product_id="a"))

    outcomes = handled(Plain(), stream.batch())

    assert appended(outcomes) == [SendMail(product_id="a")]
    assert stream.reads == []


def test_reactions_do_not_run_for_replaying_messages() -> None:
    """I6."""
    stream = ListStream("cart-1", ItemAdded(product_id="a"), ItemAdded(product_id="b"))

    outcomes = handled(Mailer(), stream.batch(replay_until=1))

    assert appended(outcomes) == [SendMail(product_id="b", seen=2)]


def test_a_reaction_that_fails_keeps_what_came_before_it() -> None:
    class Failing(Mailer):
        @react
        def mail(self, cart: CartState, event: ItemAdded) -> Yielded:
            yield SendMail(product_id=event.product_id)
            if event.product_id == "bad":
                raise Rejected

    stream = ListStream("s", *(ItemAdded(product_id=name) for name in ("a", "bad", "c")))

    outcomes = handled(Failing(), stream.batch())

    assert appended(outcomes) == [SendMail(product_id="a")]
    assert only(Fail, outcomes).seq == 2
    stream.commit(outcomes)
    assert "react" not in stream.remembered


def test_an_event_that_a_reaction_adds_to_its_own_stream_is_decided_on() -> None:
    class Echo(Cart):
        @command
        def add_item(self, cart: CartState, cmd: AddItem) -> Events:
            yield Noted()
            assert cart.product_ids == ("echo",)

        @react
        def echo(self, event: Step) -> ItemAdded:
            return ItemAdded(product_id="echo")

    for order in ([Step(), AddItem(product_id="a")], [AddItem(product_id="a"), Step()]):
        stream = ListStream("s", *order)
        outcomes = handled(Echo(), stream.batch())
        stream.commit(outcomes)
        if isinstance(order[0], Step):
            assert Noted() in appended(outcomes)
            assert stream.remembered["decide"].state.product_ids == ("echo",)


def test_a_union_reacts_to_several_events() -> None:
    class Both(Actor[None]):
        @react
        def both(self, event: ItemAdded | Step) -> SendMail:
            return SendMail(product_id=event.meta.type)

    stream = ListStream("s", ItemAdded(product_id="a"), Step())

    outcomes = handled(Both(), stream.batch())

    assert [m.payload["product_id"] for m in appended(outcomes)] == [
        "examples.carts.item_added",
        "watched.step",
    ]
    assert set(Both.handles) == {ItemAdded, Step}


def test_the_wildcard_reacts_to_every_evolved_event_without_its_own_reaction() -> None:
    class Wild(Actor[None]):
        @event
        def item_added(self, state: None, event: ItemAdded) -> None: ...

        @event
        def step(self, state: None, event: Step) -> None: ...

        @react
        def one(self, event: Step) -> SendMail:
            return SendMail(product_id="own")

        @react
        def rest(self, event: Event) -> SendMail:
            return SendMail(product_id="wild")

    stream = ListStream("s", ItemAdded(product_id="a"), Step())

    outcomes = handled(Wild(), stream.batch())

    assert [m.payload["product_id"] for m in appended(outcomes)] == ["wild", "own"]
    assert set(Wild.handles) == {ItemAdded, Step}


class Ring(Event, type="reactions.ring"):
    pass


def reacted(make: Callable[[], Any], *, meta: dict[str, Any] | None = None) -> list[Outcome]:
    """Return the outcomes of a reaction to Ring that yields what `make` makes."""

    class Bell(Actor[None], group="Bell"):
        @react
        def ring(self, event: Ring) -> Iterator[Any]:
            yield make()

    source = with_meta(Ring(), user=meta or {})
    return handled(Bell(), ListStream("bell-1", source).batch(group="Bell"))


def test_a_plain_message_goes_to_the_events_own_stream() -> None:
    outcomes = reacted(lambda: SendMail(product_id="a"))

    assert outcomes == [Append(SendMail(product_id="a"), "bell-1"), Ack(1)]


def test_a_dispatch_goes_elsewhere_with_more_meta() -> None:
    outcomes = reacted(
        lambda: Dispatch(SendMail(product_id="a"), to="mail-7", meta={"k": 1, "user": "new"}),
        meta={"user": "old", "trace": "t"},
    )

    append = only(Append, outcomes)
    assert append.to == "mail-7"
    assert dict(append.message.meta.user) == {
        "user": "new",
        "trace": "t",
        "k": 1,
        "producer": "Bell",
    }


def test_a_dispatch_may_go_to_a_new_stream() -> None:
    outcomes = reacted(lambda: Dispatch(SendMail(product_id="a"), to=new_stream("mail")))

    assert only(Append, outcomes).to.startswith("mail-")


def test_a_dispatch_for_later_is_scheduled() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    after = reacted(lambda: Dispatch(SendMail(product_id="a"), after=timedelta(hours=1)))
    at = reacted(lambda: Dispatch(SendMail(product_id="a"), to="x", at=moment))

    assert only(Schedule, after) == Schedule(
        SendMail(product_id="a"), "bell-1", after=timedelta(hours=1)
    )
    assert only(Schedule, at) == Schedule(SendMail(product_id="a"), "x", at=moment)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Dispatch(
                SendMail(product_id="a"),
                at=datetime(2030, 1, 1, tzinfo=UTC),
                after=timedelta(hours=1),
            ),
            "at= and after=",
        ),
        (
            lambda: Dispatch(SendMail(product_id="a"), at=datetime(2030, 1, 1)),  # noqa: DTZ001
            "aware datetime",
        ),
        (lambda: Dispatch(SendMail(product_id="a"), after=3), "must be a timedelta"),  # type: ignore[arg-type]
        (lambda: "text", "yield messages, or Dispatch"),
        (lambda: [SendMail(product_id="a")], "yield from"),
        (lambda: None, "yield messages"),
    ],
)
def test_what_a_reaction_cannot_yield_is_told(make: Callable[[], Any], says: str) -> None:
    error = only(Fail, reacted(make)).error

    assert isinstance(error, UsageError)
    assert says in str(error)
    assert "Bell.ring" in str(error)


def test_what_cannot_be_stored_fails_the_message_whose_reaction_made_it() -> None:
    error = only(Fail, reacted(lambda: SendMail(product_id="\x00"))).error

    assert isinstance(error, PayloadError)


def test_a_stored_message_cannot_be_sent_on_as_it_is() -> None:
    class Relay(Actor[None]):
        @react
        def relay(self, event: Ring) -> Yielded:
            yield Dispatch(event, to="elsewhere")

    error = only(Fail, handled(Relay(), ListStream("s", Ring()).batch())).error

    assert "Ring(**message.payload)" in str(error)


class Fetch(Cart):
    @react
    async def generate(self, cart: CartState, event: ItemAdded) -> Any:
        await asyncio.sleep(0)
        yield SendMail(product_id=event.product_id, seen=len(cart.items))

    @react
    async def give(self, event: Step) -> SendMail:
        await asyncio.sleep(0)
        return SendMail(product_id="step")


def test_an_actor_with_async_reactions_is_handled_as_a_coroutine() -> None:
    stream = ListStream("s", AddItem(product_id="a"), ItemAdded(product_id="b"), Step())

    assert Fetch.handles_concurrently
    assert not Cart.handles_concurrently
    outcomes = handled(Fetch(), stream.batch())

    assert appended(outcomes) == [
        ItemAdded(product_id="a"),
        SendMail(product_id="b", seen=1),
        SendMail(product_id="step"),
    ]


def test_different_streams_of_an_async_actor_are_handled_at_the_same_time() -> None:
    met = []

    class Meeting(Actor[None]):
        def __init__(self) -> None:
            self.barrier = asyncio.Barrier(2)

        @react
        async def meet(self, event: Ring) -> None:
            await self.barrier.wait()
            met.append(event.meta.stream_id)

    async def both() -> None:
        meeting: Any = Meeting()
        streams = [ListStream("a", Ring()), ListStream("b", Ring())]
        await asyncio.wait_for(
            asyncio.gather(*(meeting.handle_batch(stream.batch()) for stream in streams)), 5
        )

    asyncio.run(both())

    assert set(met) == {"a", "b"}


def test_an_awaitable_of_a_plain_handler_asks_for_async_def() -> None:
    class Hidden(Actor[None]):
        @react
        def ring(self, event: Ring) -> Any:
            return asyncio.sleep(0)

    error = only(Fail, handled(Hidden(), ListStream("s", Ring()).batch())).error

    assert "async def" in str(error)
