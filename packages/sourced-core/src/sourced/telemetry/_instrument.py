"""Turns tracing with OpenTelemetry on and off; nothing is imported for it before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sourced._app import App
from sourced._tracing import NO_TRACING
from sourced.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument", "uninstrument"]


def instrument(app: App, *, tracer_provider: TracerProvider | None = None) -> None:
    """Trace an app with OpenTelemetry, from its next append and its next handled message on.

    Each append is a span, whose context the messages carry as `meta["traceparent"]`; so do those
    that follow from them. Each run of a group's handlers is a span that is linked to the spans of
    the messages it handles. Call it in every process, those that only dispatch too.

    Args:
        app: the app.
        tracer_provider: where spans go; OpenTelemetry's global one when None.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    try:
        from sourced.telemetry._otel import OpenTelemetryTracing
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigurationError(
            "tracing needs OpenTelemetry: pip install 'sourced-core[otel]'"
        ) from error
    app.trace_with(OpenTelemetryTracing(tracer_provider))


def uninstrument(app: App) -> None:
    """Trace an app no more."""
    app.trace_with(NO_TRACING)
