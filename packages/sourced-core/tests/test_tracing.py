"""OpenTelemetry: a span for each append and each handling, linked by what messages carry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from sourced import Actor, App, Command, Dispatch, ErrorPolicy, Event, Reactor, Unit, on
from sourced import command as decide
from sourced.errors import ConfigurationError, PayloadError
from sourced.telemetry import instrument, uninstrument
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


class Place(Command, type="tracing.place"):
    number: int


class Placed(Event, type="tracing.placed"):
    number: int


class Order(Actor[None], group="Order"):
    def initial_state(self, stream_id: str) -> None:
        return None

    @decide
    def place(self, state: None, cmd: Place) -> Any:
        yield Placed(number=cmd.number)


class Mail(Reactor, group="Mail"):
    @on
    def placed(self, event: Placed) -> None:
        if event.number < 0:
            raise ValueError("no such number")


class Spans:
    """What was exported, by name, in the order in which spans ended."""

    def __init__(self, limits: SpanLimits | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(span_limits=limits)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def __getitem__(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


def linked(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    identity: int = span.context.span_id
    return identity


def carried(app: App, stream_id: str) -> list[Any]:
    return [message.meta.get("traceparent") for message in app.read_stream(stream_id)]


# --- spans ----------------------------------------------------------------------------------------


def test_handling_is_linked_to_the_append_of_what_it_handles_from_group_to_group(
    app_on: AppFactory, spans: Spans
) -> None:
    app = app_on(Order, Mail)
    instrument(app, tracer_provider=spans.provider)

    receipt = app.dispatch(Place(number=1), to="o-1")
    app.drain()

    (append,), (order,) = spans["append tracing.place"], spans["handle Order"]
    (mail,) = spans["handle Mail"]
    assert linked(order) == [id_of(append)]
    assert linked(mail) == [id_of(order)]
    assert (append.kind, order.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert order.parent is None
    assert dict(order.attributes or {}) == {
        "messaging.system": "sourced",
        "messaging.operation.name": "handle",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "Order",
        "messaging.message.id": str(receipt.message_id),
        "messaging.message.conversation_id": str(receipt.correlation_id),
        "messaging.destination.name": "o-1",
        "sourced.message.type": "tracing.place",
    }


def test_a_batch_is_one_span_linked_to_each_append_once(app_on: AppFactory, spans: Spans) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=spans.provider)

    app.dispatch_many([Dispatch(Place(number=n), to="o") for n in range(3)])
    app.dispatch(Place(number=3), to="o")
    app.drain()

    (many, one), (order,) = spans["append tracing.place"], spans["handle Order"]
    assert linked(order) == [id_of(many), id_of(one)]
    assert (order.attributes or {})["messaging.batch.message_count"] == 4
    assert (many.attributes or {})["messaging.batch.message_count"] == 3


@pytest.mark.parametrize("how", ["append", "handle", "unit", "transaction", "later"])
def test_every_way_to_record_is_a_span_that_messages_carry(
    app_on: AppFactory, spans: Spans, clock: FakeClock, how: str
) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=spans.provider)

    if how == "append":
        app.append([Placed(number=1)], to="o")
    elif how == "handle":
        app.handle(Place(number=1), to="o")
    elif how == "unit":
        Unit(app, Order).handle(Place(number=1), to="o")
    elif how == "transaction":
        with app.transaction() as transaction:
            transaction.dispatch(Place(number=1), to="o")
    else:
        app.dispatch(Place(number=1), to="o", after=timedelta(hours=1))
        clock.advance(hours=1)
        app.store.promote_due()

    (append,) = (span for span in spans.exporter.get_finished_spans() if "append" in span.name)
    assert set(carried(app, "o")) == {traceparent(append)}


def traceparent(span: ReadableSpan) -> str:
    assert span.context is not None
    context = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def test_the_append_is_a_child_of_the_span_it_is_made_in(app_on: AppFactory, spans: Spans) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=spans.provider)

    with spans.provider.get_tracer("web").start_as_current_span("request") as request:
        app.dispatch(Place(number=1), to="o")

    (append,) = spans["append tracing.place"]
    assert append.parent is not None
    assert append.parent.span_id == request.get_span_context().span_id


def test_spans_of_async_handlers_are_children_of_the_handling(
    app_on: AppFactory, spans: Spans
) -> None:
    tracer = spans.provider.get_tracer("user")

    class Later(Reactor, group="Later"):
        @on
        async def placed(self, event: Placed) -> Any:
            with tracer.start_as_current_span(f"inner {event.number}"):
                yield Place(number=event.number + 10)

    app = app_on(Later)
    app.append(Placed(number=1), to="a")
    app.append(Placed(number=2), to="b")
    instrument(app, tracer_provider=spans.provider)

    app.drain()

    (handling,) = spans["handle Later"]
    for name in ("inner 1", "inner 2"):
        (inner,) = spans[name]
        assert inner.parent is not None
        assert inner.parent.span_id == id_of(handling)
    assert carried(app, "a") == [None, traceparent(handling)]


def test_a_failure_marks_its_span_and_leaves_payloads_out(app_on: AppFactory, spans: Spans) -> None:
    class Strict(Mail, group="Strict", errors=ErrorPolicy(retries=0)):
        pass

    app = app_on(Strict)
    instrument(app, tracer_provider=spans.provider)
    app.append(Placed(number=-1), to="o")
    app.drain()
    with pytest.raises(PayloadError):
        app.dispatch(Place(number=1), to="o", meta={"key": "\x00 secret"})

    (handling,), (refused,) = spans["handle Strict"], spans["append tracing.place"]
    assert handling.status.status_code is StatusCode.ERROR
    assert (handling.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in handling.events] == ["exception"]
    assert (refused.status.description, len(refused.events)) == ("PayloadError", 0)


# --- what messages carry --------------------------------------------------------------------------


def test_the_context_is_kept_by_processes_that_do_not_trace(
    app_on: AppFactory, spans: Spans
) -> None:
    tracing, plain = app_on(Order), app_on(Order, Mail)
    instrument(tracing, tracer_provider=spans.provider)

    tracing.dispatch(Place(number=1), to="o")
    plain.drain()

    (append,) = spans["append tracing.place"]
    assert carried(plain, "o") == [traceparent(append)] * 2


def test_the_context_that_a_caller_brings_is_linked_to(app_on: AppFactory, spans: Spans) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=spans.provider)

    app.dispatch(Place(number=1), to="o", meta={"traceparent": f"00-{1:032x}-{2:016x}-01"})

    (append,) = spans["append tracing.place"]
    assert linked(append) == [2]
    assert carried(app, "o") == [traceparent(append)]


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "nonsense",
        7,
        None,
        ["00-" + "1" * 32 + "-" + "2" * 16 + "-01"],
        {"a": 1},
        f"00-{0:032x}-{2:016x}-01",
        f"00-{1:032x}-{0:016x}-01",
        f"01-{1:032x}-{2:016x}-01",
        f"00-{1:032x}-{2:016x}-01\n",
        f"00-{1:032x}-{2:016x}-01-more",
        f"00-{'A' * 32}-{2:016x}-01",
        f"00-{chr(0x661) * 32}-{2:016x}-01",  # a digit, but not one of ours
        "00-" + "1" * 1_000_000,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_context_is_ignored(app_on: AppFactory, spans: Spans, hostile: Any) -> None:
    app = app_on(Order)
    app.dispatch(Place(number=1), to="o", meta={"traceparent": hostile})
    instrument(app, tracer_provider=spans.provider)

    app.drain()

    (handling,) = spans["handle Order"]
    assert linked(handling) == []
    assert handling.status.status_code is StatusCode.UNSET
    assert carried(app, "o")[1] == traceparent(handling)


def test_links_are_bounded(app_on: AppFactory) -> None:
    spans = Spans(SpanLimits(max_links=10_000))

    class Many(Mail, group="Many", max_messages=500):
        pass

    app = app_on(Many)
    for n in range(1, 200):
        app.dispatch(Place(number=n), to="elsewhere")
    instrument(app, tracer_provider=spans.provider)
    for n in range(1, 200):
        app.append(Placed(number=n), to="o")

    app.drain()

    assert [len(span.links) for span in spans["handle Many"]] == [128]


def test_a_span_that_is_not_sampled_carries_its_trace_on(app_on: AppFactory, spans: Spans) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=TracerProvider(sampler=ALWAYS_OFF))

    app.dispatch(Place(number=1), to="o")

    (one,) = carried(app, "o")
    *_, flags = one.split("-")
    assert (len(one), int(flags, 16) & 1) == (55, 0)


def test_without_a_provider_nothing_changes(app_on: AppFactory) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=trace.NoOpTracerProvider())

    app.dispatch(Place(number=1), to="o", meta={"traceparent": "theirs"})
    app.dispatch(Place(number=2), to="o")
    app.drain()

    assert carried(app, "o") == ["theirs", None, "theirs", None]


def test_uninstrumented_it_traces_no_more(app_on: AppFactory, spans: Spans) -> None:
    app = app_on(Order)
    instrument(app, tracer_provider=spans.provider)
    uninstrument(app)

    app.dispatch(Place(number=1), to="o")
    app.drain()

    assert (spans.names, carried(app, "o")) == ([], [None, None])


# --- the extra ------------------------------------------------------------------------------------


def test_nothing_imports_opentelemetry_unless_asked() -> None:
    code = (
        "import sys, sourced, sourced.telemetry, sourced.runtime\n"
        "app = sourced.App()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "sourced.telemetry._otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(ConfigurationError, match=r"sourced-core\[otel\]"):
        instrument(App())
