"""Metrics to read and traces to send, for whatever watches a program.

`instrument` needs the extra `otel`; nothing else here imports OpenTelemetry.
"""

from sourced._metrics import METRICS, Distribution, Family, Metric, Metrics
from sourced._prometheus import prometheus_text
from sourced.telemetry._instrument import instrument, uninstrument

__all__ = [
    "METRICS",
    "Distribution",
    "Family",
    "Metric",
    "Metrics",
    "instrument",
    "prometheus_text",
    "uninstrument",
]
