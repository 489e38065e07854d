"""What actors, projectors and reactors share: a consumer group, handlers, options, a state."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, Self, TypeVar

from sourced._errors_policy import policy_problem
from sourced._handler_reading import read_handlers
from sourced._handler_table import HandlerTable, Kind
from sourced._json_text import name_problem
from sourced._messages import Message
from sourced._naming import plain_name
from sourced._problems import shown
from sourced._snapshots import SnapshotCodec, snapshot_codec
from sourced._state_types import instance_check, make_initial, state_annotation
from sourced.errors import DefinitionError, UsageError

__all__ = ["Consumer", "Stateful", "seq_of"]

S = TypeVar("S")

_prototypes_lock = threading.RLock()


def seq_of(message: Message, head: int) -> int:
    """Return a message's seq; one that is not stored yet comes right after the head."""
    return head + 1 if message.meta.seq is None else message.meta.seq


def place_of_class(cls: type) -> str:
    """Return where a class is, for errors."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _check_bound(cls: type, name: str, value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise DefinitionError(place_of_class(cls), f"{name} must be 1 or more, got {value!r}")


def _check_names(cls: type, names: Iterable[str]) -> None:
    for name in names:
        if (problem := name_problem(name)) is not None:
            raise DefinitionError(
                place_of_class(cls),
                f"the group name {shown(name)}: {problem}; give it another: group=…",
            )


def _reserved_names(cls: type) -> set[str]:
    """Return the names that the library's own classes give a meaning to."""
    return {
        name
        for base in cls.__mro__
        if base.__module__.startswith("sourced._")
        for name in vars(base)
        if not name.startswith("__")
    }


class Consumer:
    """A class with a consumer group and handlers.

    Args of the class statement:
        group: the group's name; omitted, the class's qualified name without the module.
        was: former names of the group, whose progress it takes over.
        max_streams: streams per claim.
        max_messages: messages per stream and claim.
        errors: the error policy, if not the app's.

    Attributes:
        group: the group's name.
        former_groups: its former names.
        handles: the message classes it is given.
        decides: those of them that it decides.
        evolves: the message classes that its state is made of.
        max_streams, max_messages, error_policy: the options above, or None.
        handles_together: it has `handle_batches`, and wants several streams at once.
        handles_concurrently: it has async handlers, so that its streams are handled at the same
            time.
    """

    group: str = ""
    former_groups: tuple[str, ...] = ()
    handles: tuple[type[Message], ...] = ()
    decides: tuple[type[Message], ...] = ()
    evolves: tuple[type[Message], ...] = ()
    max_streams: int | None = None
    max_messages: int | None = None
    error_policy: Any = None
    handles_together: bool = False
    handles_concurrently: bool = False

    handler_table: ClassVar[HandlerTable]
    handler_kinds: ClassVar[frozenset[Kind]] = frozenset()

    def __init_subclass__(
        cls,
        *,
        group: str | None = None,
        was: Iterable[str] = (),
        max_streams: int | None = None,
        max_messages: int | None = None,
        errors: Any = None,
        **options: Any,
    ) -> None:
        if options:
            raise DefinitionError(
                place_of_class(cls), f"the class statement takes no {', '.join(sorted(options))}"
            )
        super().__init_subclass__()
        cls.group = plain_name(cls) if group is None else group
        cls.former_groups = (was,) if isinstance(was, str) else tuple(was)
        _check_names(cls, [cls.group, *cls.former_groups])
        for name, value in (("max_streams", max_streams), ("max_messages", max_messages)):
            _check_bound(cls, name, value)
            if value is not None:
                setattr(cls, name, value)
        if errors is not None:
            if (problem := policy_problem(errors)) is not None:
                raise DefinitionError(place_of_class(cls), f"errors= {problem}")
            # Wrapped: a plain function on a class would be taken for a method of its instances.
            cls.error_policy = staticmethod(errors)
        if not cls.__module__.startswith("sourced._"):
            cls._read_handlers()

    @classmethod
    def _read_handlers(cls) -> None:
        table = read_handlers(cls, cls.handler_kinds, _reserved_names(cls))
        cls.handler_table = table
        cls.decides = tuple(table.commands)
        cls.evolves = tuple(table.events)
        cls.handles_concurrently = any(handler.is_async for handler in table.by_name.values())

    @classmethod
    def prototype(cls) -> Self:
        """Return the one instance, without a stream, as which the class's handlers run."""
        with _prototypes_lock:
            known = vars(cls).get("_prototype")
            if known is None:
                known = cls()
                cls._prototype = known  # type: ignore[attr-defined]  # each class has its own
        assert isinstance(known, cls)
        return known


class Stateful(Consumer, Generic[S]):
    """A consumer with a state that it evolves by events, kept per stream.

    Args of the class statement:
        snapshot_every: store the state whenever the stream has grown by so many messages.
        (others): as of `Consumer`.
    """

    snapshot_every: int | None = None
    snapshot_version: int = 1
    snapshots: ClassVar[SnapshotCodec | None] = None
    state_type: ClassVar[Any] = None
    has_before_evolve: ClassVar[bool] = False
    _state_annotation: ClassVar[Any] = None
    _first_state: ClassVar[Callable[[str], Any] | None] = None

    def __init_subclass__(cls, *, snapshot_every: int | None = None, **options: Any) -> None:
        _check_bound(cls, "snapshot_every", snapshot_every)
        if snapshot_every is not None:
            cls.snapshot_every = snapshot_every
        cls._state_annotation = state_annotation(cls, Stateful)
        cls.state_type = instance_check(cls._state_annotation)
        super().__init_subclass__(**options)
        if not cls.__module__.startswith("sourced._"):
            cls._check_state()

    @classmethod
    def _check_state(cls) -> None:
        cls._first_state = None
        if cls.initial_state is Stateful.initial_state and cls._state_annotation is not None:
            try:
                cls._first_state = make_initial(cls, cls._state_annotation)
            except DefinitionError:
                if cls.handler_table.needs_state:
                    raise
        cls.has_before_evolve = cls.before_evolve is not Stateful.before_evolve
        if inspect.iscoroutinefunction(cls.before_evolve):
            raise DefinitionError(
                f"{place_of_class(cls)}.before_evolve", "evolving is plain: write `def`"
            )
        if cls.snapshot_every is not None:
            cls.snapshots = snapshot_codec(
                cls,
                cls._state_annotation,
                encodes=cls.encode_state is not Stateful.encode_state,
                decodes=cls.decode_state is not Stateful.decode_state,
            )

    def initial_state(self, stream_id: str, /) -> S:
        """Return the state of a stream before its first event.

        Unless it is defined, the class in `Actor[State]` is made without arguments, or of the
        stream id if it needs one.

        Raises:
            UsageError: the class cannot be made that way.
        """
        cls = type(self)
        if cls._first_state is None:
            raise UsageError(
                f"{plain_name(cls)} does not say what its state is: write "
                f"`class {cls.__name__}(…[State])`, or define initial_state(self, stream_id)"
            )
        state: S = cls._first_state(stream_id)
        return state

    def before_evolve(self, state: S, event: Any, /) -> S | None:
        """Evolve the state by any event that has a handler, before that handler does."""
        raise NotImplementedError

    def encode_state(self, state: S, /) -> Any:
        """Return a state as what JSON can hold, for a snapshot; define it with `decode_state`."""
        raise NotImplementedError

    def decode_state(self, data: Any, /) -> S:
        """Return the state of what `encode_state` returned."""
        raise NotImplementedError
