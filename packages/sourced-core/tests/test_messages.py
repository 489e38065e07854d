"""Message classes: what their statement means, their envelope, and the registry of types."""

from __future__ import annotations

import copy
import dataclasses
import gc
import importlib
import pickle
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import new_class
from typing import Any, ClassVar
from uuid import UUID

import pytest

from sourced import Command, Draft, Event, Message, UnknownMessage
from sourced._clock import ambient_clock
from sourced._messages import (
    caused_by,
    decode,
    decode_new,
    encode,
    find_type,
    message_types,
    stored_types,
    type_of,
    with_meta,
)
from sourced._records import NewMessage, StoredMessage
from sourced.errors import (
    DefinitionError,
    DuplicateTypeError,
    PayloadError,
    UnknownTypeError,
    UsageError,
)
from sourced.types import LaxInt
from sourced_testing import FakeClock


class AddThing(Command, type="test_messages.add"):
    product_id: str
    price: LaxInt = 0
    quantity: LaxInt = 1


class ThingAdded(Event, type="test_messages.added", was=("test_messages.put", "old.put")):
    product_id: str
    tags: list[str] = dataclasses.field(default_factory=list)


class MeetingClock(FakeClock):
    """A clock whose first two callers wait for each other, both in the middle of their work."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(2, timeout=10)

    def now(self) -> datetime:
        self.barrier.wait()
        return super().now()


def stored(record: NewMessage, *, seq: int = 1, position: int = 1) -> StoredMessage:
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return StoredMessage(**fields, seq=seq, position=position)


class TestDefinition:
    def test_a_message_is_a_frozen_keyword_only_dataclass(self) -> None:
        message = AddThing(product_id="p1")

        assert dataclasses.is_dataclass(message)
        with pytest.raises(dataclasses.FrozenInstanceError):
            message.product_id = "p2"  # type: ignore[misc]
        with pytest.raises(TypeError):
            AddThing("p1")  # type: ignore[call-arg]

    def test_repr_reads_like_the_constructor(self) -> None:
        class Local(Event):
            n: int

        assert repr(AddThing(product_id="p1")) == "AddThing(product_id='p1', price=0, quantity=1)"
        assert repr(Local(n=1)) == "Local(n=1)"

    def test_messages_are_equal_when_class_and_payload_are(self) -> None:
        class OtherThing(Command):
            product_id: str
            price: int = 0
            quantity: int = 1

        message = AddThing(product_id="p1")
        other: Message = OtherThing(product_id="p1")

        assert message == AddThing(product_id="p1")
        assert message.meta.id != AddThing(product_id="p1").meta.id
        assert message != AddThing(product_id="p2")
        assert message != other
        assert hash(message) == hash(AddThing(product_id="p1"))

    def test_a_default_factory_gives_each_message_its_own_value(self) -> None:
        one, other = ThingAdded(product_id="p"), ThingAdded(product_id="p")

        one.tags.append("x")

        assert other.tags == []

    def test_a_mutable_default_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(DefinitionError, match="default_factory"):

            class Bad(Event):
                tags: list[str] = []  # noqa: RUF012 - what is refused

    @pytest.mark.parametrize(
        "name", ["meta", "payload", "parse", "draft", "from_type", "json_schema"]
    )
    def test_a_reserved_field_name_is_refused_with_the_reason(self, name: str) -> None:
        namespace = {"__annotations__": {name: int}, "__module__": __name__}

        with pytest.raises(DefinitionError, match="reserved") as caught:
            new_class("Bad", (Event,), {}, lambda body: body.update(namespace))

        assert name in caught.value.where

    def test_a_field_name_with_an_underscore_is_refused(self) -> None:
        with pytest.raises(DefinitionError, match=r"Bad\._hidden.*underscore"):

            class Bad(Event):
                _hidden: int

    def test_an_inherited_reserved_field_name_is_refused(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Mixin:
            payload: int

        with pytest.raises(DefinitionError, match="reserved"):

            class Bad(Mixin, Event):
                pass

    def test_every_other_name_is_a_legal_field(self) -> None:
        class Odd(Event):
            type: str
            id: int
            stream_id: str
            seq: int
            command: str
            message: str
            values: list[int]
            self: int

        message = Odd(
            type="t", id=1, stream_id="s", seq=2, command="c", message="m", values=[1], self=3
        )

        assert decode_new(encode(message, "s-1")) == message
        assert Odd.parse(message.payload) == message
        assert type_of(Odd).endswith("odd")

    def test_class_variables_methods_and_properties_are_no_fields(self) -> None:
        class Rich(Event):
            LIMIT: ClassVar[int] = 3
            n: int

            @property
            def double(self) -> int:
                return self.n * 2

        assert Rich(n=2).payload == {"n": 2}
        assert Rich(n=2).double == 4
        assert Rich.LIMIT == 3

    def test_a_subclass_inherits_fields_and_options_and_has_its_own_type(self) -> None:
        class Parent(Event, type="test.parent", extra="ignore"):
            n: int

        class Child(Parent):
            m: int = 0

        child = Child.parse({"n": 1, "unknown": 2})

        assert child == Child(n=1, m=0)
        assert type_of(Child).endswith("child")
        assert type(decode_new(encode(child, "s"))) is Child

    def test_a_field_that_would_not_be_stored_is_refused(self) -> None:
        with pytest.raises(DefinitionError, match=r"Bad\.n: .*init=False"):

            class Bad(Event):
                n: int = dataclasses.field(init=False, default=0)

        with pytest.raises(DefinitionError, match=r"Worse\.n: .*InitVar"):

            class Worse(Event):
                n: dataclasses.InitVar[int]

    @pytest.mark.parametrize("name", ["meta", "payload"])
    def test_what_every_message_has_cannot_be_redefined(self, name: str) -> None:
        with pytest.raises(DefinitionError, match="reserved"):
            new_class("Bad", (Event,), {}, lambda body: body.update({name: property()}))

    def test_a_class_may_parse_in_its_own_way(self) -> None:
        class Counted(Event):
            n: int

            @classmethod
            def parse(cls, values: Any) -> Counted:
                return super().parse({"n": len(values)})

        assert Counted.draft({"a": 1, "b": 2}).message == Counted(n=2)

    def test_a_message_cannot_be_both_a_command_and_an_event(self) -> None:
        with pytest.raises(DefinitionError, match="not both"):

            class Both(Command, Event):
                pass

    def test_a_default_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(DefinitionError, match=r"Bad\.n: its default does not fit"):

            class Bad(Event):
                n: int = "one"  # type: ignore[assignment]

    def test_an_unknown_class_option_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(DefinitionError, match="takes type, was, extra and schema, not tpye"):

            class Bad(Event, tpye="x"):
                pass

    @pytest.mark.parametrize("extra", ["allow", True])
    def test_an_unknown_policy_for_extra_keys_is_refused(self, extra: Any) -> None:
        with pytest.raises(DefinitionError, match="'forbid' or 'ignore'"):

            class Bad(Event, extra=extra):
                pass

    @pytest.mark.parametrize("kind", [Message, Command, Event])
    def test_the_kinds_of_messages_are_no_messages(self, kind: type[Message]) -> None:
        with pytest.raises(UsageError, match="define a class"):
            kind()
        with pytest.raises(UsageError):
            type_of(kind)
        with pytest.raises(UsageError):
            kind.json_schema()

    def test_a_class_that_checks_itself_makes_parse_refuse(self) -> None:
        class Even(Event):
            n: int

            def __post_init__(self) -> None:
                if self.n % 2:
                    raise ValueError("n is odd")

        assert Even.parse({"n": 2}) == Even(n=2)
        with pytest.raises(PayloadError, match="n is odd"):
            Even.parse({"n": 1})


class TestMeta:
    def test_a_new_message_is_its_own_cause(self) -> None:
        meta = AddThing(product_id="p1").meta

        assert meta.id.version == 7
        assert meta.causation_id == meta.correlation_id == meta.id
        assert meta.type == "test_messages.add"
        assert (meta.stream_id, meta.seq, meta.position) == (None, None, None)
        assert dict(meta.user) == {}

    def test_created_at_is_the_ambient_clocks(self) -> None:
        clock = FakeClock()
        token = ambient_clock.set(clock)
        try:
            meta = AddThing(product_id="p1").meta
        finally:
            ambient_clock.reset(token)

        assert meta.created_at == clock.now()
        assert meta.created_at.tzinfo is UTC

    def test_threads_that_ask_at_once_get_one_envelope(self) -> None:
        message = AddThing(product_id="p1")
        seen: list[UUID] = []
        clock = MeetingClock()

        def look() -> None:
            ambient_clock.set(clock)
            seen.append(message.meta.id)

        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(seen) == 2
        assert len(set(seen)) == 1

    def test_user_keys_are_read_like_a_dicts(self) -> None:
        meta = with_meta(AddThing(product_id="p1"), user={"user_id": 7}).meta

        assert meta["user_id"] == meta.get("user_id") == 7
        assert "user_id" in meta
        assert "id" not in meta
        assert meta.get("absent") is None
        assert meta.get("absent", 1) == 1
        assert list(meta.keys()) == ["user_id"]
        with pytest.raises(KeyError):
            meta["absent"]

    def test_user_keys_cannot_be_changed_in_place(self) -> None:
        meta = with_meta(AddThing(product_id="p1"), user={"user_id": 7}).meta

        with pytest.raises(TypeError):
            meta.user["user_id"] = 8  # type: ignore[index]

    @pytest.mark.parametrize("name", ["id", "seq", "stream_id", "created_at", "correlation_id"])
    def test_a_user_key_named_like_the_envelope_is_refused(self, name: str) -> None:
        with pytest.raises(PayloadError, match="reserved") as caught:
            with_meta(AddThing(product_id="p1"), user={name: 1})

        assert list(caught.value.problems) == [f"meta.{name}"]

    def test_a_user_key_that_is_no_text_is_refused(self) -> None:
        with pytest.raises(PayloadError, match="expected text as a key"):
            with_meta(AddThing(product_id="p1"), user={1: 2})  # type: ignore[dict-item]

    def test_with_meta_copies_the_message_and_merges_user_keys(self) -> None:
        message = with_meta(AddThing(product_id="p1"), user={"a": 1, "b": 1})
        cause = UUID(int=1)

        changed = with_meta(
            message, stream_id="s", causation_id=cause, user={"b": 2}, seq=3, position=4
        )

        assert changed == message
        assert changed is not message
        assert changed.meta.id == message.meta.id
        assert dict(changed.meta.user) == {"a": 1, "b": 2}
        assert (changed.meta.stream_id, changed.meta.seq, changed.meta.position) == ("s", 3, 4)
        assert changed.meta.causation_id == cause
        assert changed.meta.correlation_id == message.meta.correlation_id
        assert dict(message.meta.user) == {"a": 1, "b": 1}
        assert with_meta(changed, seq=None, position=None).meta.seq is None

    def test_a_new_id_carries_over_to_a_message_that_was_its_own_cause(self) -> None:
        changed = with_meta(AddThing(product_id="p1"), id=UUID(int=1))

        assert changed.meta.causation_id == changed.meta.correlation_id == UUID(int=1)

    def test_created_at_is_taken_in_utc_and_naive_ones_are_refused(self) -> None:
        message = AddThing(product_id="p1")
        moment = datetime(2024, 1, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))

        changed = with_meta(message, created_at=moment)

        assert changed.meta.created_at == moment
        assert changed.meta.created_at.tzinfo is UTC
        with pytest.raises(PayloadError, match=r"meta\.created_at: expected an aware datetime"):
            with_meta(message, created_at=datetime(2024, 1, 1))  # noqa: DTZ001

    def test_a_produced_message_carries_cause_correlation_user_keys_and_producer(self) -> None:
        source = with_meta(
            AddThing(product_id="p1"),
            correlation_id=UUID(int=9),
            user={"user_id": 7, "trace": "a", "producer": "Other"},
        )
        own = with_meta(ThingAdded(product_id="p1"), user={"trace": "b"})

        produced = caused_by(own, source, producer="Cart")

        assert produced == own
        assert produced.meta.id == own.meta.id
        assert produced.meta.causation_id == source.meta.id
        assert produced.meta.correlation_id == UUID(int=9)
        assert dict(produced.meta.user) == {"user_id": 7, "trace": "b", "producer": "Cart"}

    @pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy])
    def test_copies_keep_the_envelope_even_if_it_was_never_looked_at(self, make_copy: Any) -> None:
        message = AddThing(product_id="p1")

        copied = make_copy(message)

        assert copied == message
        assert copied.meta == message.meta

    def test_messages_pickle_with_their_envelope(self) -> None:
        message = with_meta(ThingAdded(product_id="p1", tags=["a"]), user={"k": [1]}, seq=3)

        loaded = pickle.loads(pickle.dumps(message))  # noqa: S301

        assert loaded == message
        assert loaded.meta == message.meta

    def test_replacing_a_field_makes_another_message(self) -> None:
        message = AddThing(product_id="p1")

        other = dataclasses.replace(message, price=3)

        assert other.meta.id != message.meta.id


class TestUntrustedInput:
    def test_parse_tells_all_problems_by_path(self) -> None:
        with pytest.raises(PayloadError) as caught:
            AddThing.parse({"price": "abc", "colour": "red"})

        assert caught.value.problems == {
            "price": ["expected an integer, got 'abc'"],
            "product_id": ["is missing"],
            "colour": ["is not a field; the fields are price, product_id, quantity"],
        }
        assert caught.value.type == "test_messages.add"

    def test_extra_keys_are_ignored_if_the_class_says_so(self) -> None:
        class Open(Command, extra="ignore"):
            n: int

        assert Open.parse({"n": 1, "m": 2}) == Open(n=1)

    @pytest.mark.parametrize("values", [None, [], "text", 3])
    def test_input_that_is_no_object_is_refused(self, values: Any) -> None:
        with pytest.raises(PayloadError, match="payload: expected an object"):
            AddThing.parse(values)

    def test_a_valid_draft_has_the_message(self) -> None:
        draft = AddThing.draft({"product_id": "p1", "price": "10"})

        assert draft.valid
        assert draft.errors == {}
        assert draft.command == draft.message == AddThing(product_id="p1", price=10)

    def test_an_invalid_draft_has_the_errors_and_the_input(self) -> None:
        draft: Draft[AddThing] = AddThing.draft({"price": "ten"})

        assert not draft.valid
        assert draft.errors["price"] == ["expected an integer, got 'ten'"]
        assert draft.values == {"price": "ten"}
        with pytest.raises(PayloadError, match="price"):
            _ = draft.command

    @pytest.mark.parametrize("name", [None, 3, ["test_messages.add"], {}])
    def test_a_type_that_is_no_text_is_unknown(self, name: Any) -> None:
        with pytest.raises(UnknownTypeError):
            Command.from_type(name, {})

    def test_from_type_parses_by_name(self) -> None:
        message = Command.from_type("test_messages.add", {"product_id": "p1", "price": "3"})

        assert message == AddThing(product_id="p1", price=3)

    def test_an_unknown_type_suggests_the_nearest(self) -> None:
        with pytest.raises(UnknownTypeError, match=r"did you mean 'test_messages\.add'"):
            Command.from_type("test_messages.ad", {})


class TestTypes:
    def test_the_omitted_type_is_the_qualified_name_in_snake_case(self) -> None:
        class Cart:
            class AddHTTPItem2(Command):
                pass

        prefix = "test_types.test_the_omitted_type_is_the_qualified_name_in_snake_case"
        assert type_of(Cart.AddHTTPItem2) == f"{prefix}.cart.add_http_item2"

    def test_a_type_is_looked_up_within_its_branch(self) -> None:
        class PublicCommand(Command):
            pass

        class Order(PublicCommand, type="test.order"):
            pass

        assert find_type("test.order") is Order
        assert find_type("test.order", Command) is Order
        assert PublicCommand.from_type("test.order", {}) == Order()
        assert Order in message_types(PublicCommand).values()
        assert "test_messages.add" not in message_types(PublicCommand)
        for branch, name in [(Event, "test.order"), (PublicCommand, "test_messages.add")]:
            with pytest.raises(UnknownTypeError, match=branch.__name__):
                find_type(name, branch)

    def test_a_former_name_finds_the_class(self) -> None:
        record = dataclasses.replace(encode(ThingAdded(product_id="p"), "s"), type="old.put")

        message = decode_new(record)

        assert message == ThingAdded(product_id="p")
        assert message.meta.type == "test_messages.added"
        assert find_type("test_messages.put") is ThingAdded
        assert "old.put" not in message_types()

    def test_stored_types_are_all_names_and_a_kind_means_all_its_classes(self) -> None:
        assert stored_types([ThingAdded]) == {
            "test_messages.added",
            "test_messages.put",
            "old.put",
        }
        assert stored_types([Event]) >= stored_types([ThingAdded])
        assert "test_messages.add" not in stored_types([Event])
        assert stored_types([]) == frozenset()

    @pytest.mark.parametrize("names", [{"type": "test_messages.add"}, {"was": ("old.put",)}])
    def test_a_type_that_another_class_has_is_refused(self, names: dict[str, Any]) -> None:
        with pytest.raises(DuplicateTypeError, match="already that of"):

            class Again(Command, **names):
                pass

    def test_a_refused_class_leaves_nothing_behind(self) -> None:
        with pytest.raises(DefinitionError):

            class Refused(Command, type="test.refused"):
                payload: int  # type: ignore[assignment]

        with pytest.raises(UnknownTypeError):
            find_type("test.refused")

    def test_a_class_defined_again_at_the_same_place_replaces_the_first(self) -> None:
        def define() -> type[Event]:
            class Again(Event, type="test.again"):
                n: int = 0

            return Again

        first, second = define(), define()

        assert find_type("test.again") is second
        assert first is not second

    def test_a_local_class_that_is_gone_frees_its_name(self) -> None:
        def one() -> None:
            class Local(Event, type="test.local"):
                pass

        def other() -> type[Event]:
            class Local(Event, type="test.local"):
                pass

            return Local

        gc.disable()  # so that it is not gone by itself
        try:
            one()
            found = other()
        finally:
            gc.enable()

        assert found is find_type("test.local")

    def test_a_reloaded_module_replaces_its_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = (
            "from sourced import Event\nclass Moved(Event, type='test.moved'):\n    n: int = 1\n"
        )
        (tmp_path / "moved_messages.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        module = importlib.import_module("moved_messages")
        first = module.Moved

        reloaded = importlib.reload(module)

        assert reloaded.Moved is not first
        assert find_type("test.moved") is reloaded.Moved
        monkeypatch.delitem(sys.modules, "moved_messages")

    def test_a_file_that_is_run_and_imported_is_told_what_to_do(self) -> None:
        def define(module: str) -> type[Event]:
            names = {"__module__": module, "__qualname__": "Started"}
            options = {"type": "test.started"}
            return new_class("Started", (Event,), options, lambda body: body.update(names))

        first = define("shop")

        with pytest.raises(DuplicateTypeError, match="run another that imports it"):
            define("__main__")
        assert find_type("test.started") is first

    @pytest.mark.parametrize("type_name", [None, 3, ["a"], "\0"])
    def test_a_type_that_is_no_type_at_all_is_unknown(self, type_name: Any) -> None:
        with pytest.raises(UnknownTypeError):
            Command.from_type(type_name, {})

    @pytest.mark.parametrize("name", ["", " x", "a\0b", "x" * 256, "a\nb", 3])
    def test_a_type_that_no_store_could_hold_is_refused(self, name: Any) -> None:
        with pytest.raises(DefinitionError, match="its type"):

            class Bad(Event, type=name):
                pass

    def test_former_names_are_a_tuple_not_a_text(self) -> None:
        with pytest.raises(DefinitionError, match=r"was=\('old',\)"):

            class Bad(Event, was="old"):
                pass


class TestRecords:
    def test_a_record_has_everything_of_the_message(self) -> None:
        message = with_meta(AddThing(product_id="é"), user={"user_id": 7})

        record = encode(message, "cart-1")

        assert record == NewMessage(
            id=message.meta.id,
            type="test_messages.add",
            stream_id="cart-1",
            payload='{"product_id":"é","price":0,"quantity":1}',
            meta='{"user_id":7}',
            created_at=message.meta.created_at,
            causation_id=message.meta.id,
            correlation_id=message.meta.id,
        )

    def test_a_stored_record_gives_the_message_with_its_place(self) -> None:
        message = with_meta(AddThing(product_id="p1"), user={"user_id": 7})

        found = decode(stored(encode(message, "cart-1"), seq=3, position=9))

        assert found == message
        expected = with_meta(message, stream_id="cart-1", seq=3, position=9)
        assert found.meta == expected.meta

    def test_a_new_record_gives_a_copy_that_shares_nothing(self) -> None:
        message = with_meta(ThingAdded(product_id="p", tags=["a"]), user={"list": [1]})
        record = encode(message, "s")

        found = decode_new(record)
        assert isinstance(found, ThingAdded)
        found.tags.append("b")
        found.meta["list"].append(2)

        assert message.tags == ["a"]
        assert message.meta["list"] == [1]
        assert decode_new(record) == message

    def test_reading_ignores_unknown_keys_and_fills_in_defaults(self) -> None:
        record = dataclasses.replace(
            encode(AddThing(product_id="p1", quantity=5), "s"),
            payload='{"product_id": "p1", "dropped": {"x": 1}}',
        )

        assert decode_new(record) == AddThing(product_id="p1", price=0, quantity=1)

    @pytest.mark.parametrize(
        ("payload", "path"),
        [
            ('{"price": 1}', "product_id"),
            ('{"product_id": 1}', "product_id"),
            ("[]", "payload"),
            ("{", "payload"),
        ],
    )
    def test_a_stored_payload_that_does_not_fit_names_type_and_path(
        self, payload: str, path: str
    ) -> None:
        record = dataclasses.replace(encode(AddThing(product_id="p1"), "s"), payload=payload)

        with pytest.raises(PayloadError, match=r"test_messages\.add") as caught:
            decode_new(record)

        assert list(caught.value.problems) == [path]

    def test_a_type_that_is_not_defined_is_read_raw(self) -> None:
        record = dataclasses.replace(
            encode(with_meta(AddThing(product_id="p1"), user={"k": 1}), "s"), type="gone.by"
        )

        message = decode(stored(record, seq=2, position=5))

        assert isinstance(message, UnknownMessage)
        assert message.payload == {"product_id": "p1", "price": 0, "quantity": 1}
        assert (message.meta.type, message.meta.seq, message.meta["k"]) == ("gone.by", 2, 1)
        assert repr(message).startswith("UnknownMessage('gone.by', {'product_id'")

    def test_an_unknown_message_passes_on_unchanged(self) -> None:
        record = dataclasses.replace(encode(AddThing(product_id="p1"), "s"), type="gone.by")

        message = decode_new(record)

        assert encode(message, "s") == record
        assert message == decode_new(record)
        assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301
        with pytest.raises(dataclasses.FrozenInstanceError):
            message.payload_ = 1  # type: ignore[attr-defined]

    @pytest.mark.parametrize("stream_id", ["", "a\0b", "\ud800", "x" * 256, None, 3])
    def test_a_stream_id_that_no_store_could_hold_is_refused(self, stream_id: Any) -> None:
        with pytest.raises(PayloadError) as caught:
            encode(AddThing(product_id="p1"), stream_id)

        assert list(caught.value.problems) == ["stream_id"]

    @pytest.mark.parametrize(
        ("user", "path"),
        [
            ({"a": "x\0"}, "meta.a"),
            ({"a": {"b": ["\ud800"]}}, "meta.a.b[0]"),
            ({"a": float("nan")}, "meta.a"),
            ({"a": (1, 2)}, "meta.a"),
            ({"a": UUID(int=1)}, "meta.a"),
            ({"a\0": 1}, "meta['a\\x00']"),
        ],
    )
    def test_a_user_key_that_would_not_be_read_back_equal_is_refused(
        self, user: dict[str, Any], path: str
    ) -> None:
        message = with_meta(AddThing(product_id="p1"), user=user)

        with pytest.raises(PayloadError) as caught:
            encode(message, "s")

        assert list(caught.value.problems) == [path]

    def test_encoding_tells_problems_of_payload_meta_and_stream_at_once(self) -> None:
        message = with_meta(AddThing(product_id="a\0", price="3"), user={"k": "\0"})  # type: ignore[arg-type]

        with pytest.raises(PayloadError) as caught:
            encode(message, "")

        assert set(caught.value.problems) == {"product_id", "price", "meta.k", "stream_id"}
