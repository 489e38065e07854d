"""Tells OpenTelemetry of appends and handling; needs the extra `otel`.

```
dispatch ── span `append TYPE` ── its context goes into meta["traceparent"]
                                     │ stored, and inherited by what the message causes
handling ── span `handle GROUP` ─────┘ a link to the span of each message, not its child: a batch
                                       has many, and they may be days old
```

What a message carries was written by whoever could write messages: it is read strictly, and only
ever linked to, so that it decides about nobody's sampling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    get_tracer,
)

from sourced._batch import Batch
from sourced._messages import Message
from sourced._meta import ambient_keys
from sourced._tracing import Failed
from sourced.errors import PayloadError

__all__ = ["TRACEPARENT", "OpenTelemetryTracing"]

TRACEPARENT: Final = "traceparent"
"""The key of `meta` that carries the context, in the form of the W3C header of this name."""

MOST_LINKS = 128
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class OpenTelemetryTracing:
    """Makes spans; see `sourced._tracing.Tracing`.

    Args:
        provider: where the spans go; the global one when None.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer: Tracer = get_tracer("sourced", tracer_provider=provider)

    @contextmanager
    def appending(self, addressed: Sequence[tuple[Message, str]]) -> Iterator[object]:
        """See `Tracing`."""
        messages = [message for message, _ in addressed]
        attributes = _attributes("append", "send", messages, {str(to) for _, to in addressed})
        types = {message.meta.type for message in messages}
        name = f"append {types.pop()}" if len(types) == 1 else "append"
        with self._span(name, SpanKind.PRODUCER, attributes, messages) as span:
            yield span

    @contextmanager
    def handling(self, group: str, batches: Sequence[Batch]) -> Iterator[Failed]:
        """See `Tracing`."""
        messages = [message for batch in batches for message in batch.messages]
        streams = {batch.stream_id for batch in batches}
        attributes = _attributes("handle", "process", messages, streams)
        attributes["messaging.consumer.group.name"] = group
        with self._span(f"handle {group}", SpanKind.CONSUMER, attributes, messages) as span:
            yield lambda error: _note(span, error)

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, attributes: dict[str, Any], messages: Sequence[Message]
    ) -> Iterator[Span]:
        """Make a span the current one, and let what is encoded inside carry its context."""
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=attributes,
            links=_links(messages),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            keys = dict(ambient_keys.get())
            if (carried := _written(span.get_span_context())) is not None:
                keys[TRACEPARENT] = carried
            token = ambient_keys.set(keys)
            try:
                yield span
            except BaseException as error:
                _note(span, error)
                raise
            finally:
                ambient_keys.reset(token)


def _attributes(
    name: str, type: str, messages: Sequence[Message], streams: set[str]
) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": "sourced",
        "messaging.operation.name": name,
        "messaging.operation.type": type,
    }
    if len(messages) == 1:
        meta = messages[0].meta
        attributes["messaging.message.id"] = str(meta.id)
        attributes["messaging.message.conversation_id"] = str(meta.correlation_id)
        attributes["sourced.message.type"] = meta.type
    else:
        attributes["messaging.batch.message_count"] = len(messages)
    if len(streams) == 1:
        attributes["messaging.destination.name"] = next(iter(streams))
    return attributes


def _links(messages: Iterable[Message]) -> list[Link]:
    """Return a link to each span that one of the messages came from, up to a bound."""
    carried = dict.fromkeys(_carried(message) for message in messages)
    contexts = (_read(text) for text in carried if text is not None)
    return [Link(context) for context in islice(filter(None, contexts), MOST_LINKS)]


def _carried(message: Message) -> str | None:
    value = message.meta.get(TRACEPARENT)
    return value if isinstance(value, str) else None


def _read(text: str) -> SpanContext | None:
    """Return the context that a text names, None if it is not exactly in form."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def _written(context: SpanContext) -> str | None:
    if not context.is_valid:  # nobody traces: what the message carries already stays
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"


def _note(span: Span, error: BaseException) -> None:
    """Mark a span as failed; what a payload holds stays here."""
    kind = type(error).__qualname__
    span.set_status(StatusCode.ERROR, kind)
    span.set_attribute("error.type", kind)
    if not isinstance(error, PayloadError):
        span.record_exception(error)
