"""Metrics as text in Prometheus' exposition format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from sourced._metrics import Distribution, Family, Labels, Metric

__all__ = ["CONTENT_TYPE", "prometheus_text"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def prometheus_text(families: Iterable[Family]) -> str:
    """Return the values of metrics, each with its help and type; every line ends in a newline."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    metric = family.metric
    yield f"# HELP {metric.name} {_escaped(metric.help)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for labels, value in sorted(family.values.items()):
        pairs = _pairs(metric, labels)
        if isinstance(value, Distribution):
            yield from _histogram(metric, pairs, value)
        else:
            yield f"{metric.name}{_braced(pairs)} {_number(value)}"


def _histogram(metric: Metric, pairs: list[str], value: Distribution) -> Iterator[str]:
    bounds = [*map(_number, metric.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(value.counts), strict=True):
        bucket = _braced([*pairs, f'le="{bound}"'])
        yield f"{metric.name}_bucket{bucket} {count}"
    yield f"{metric.name}_sum{_braced(pairs)} {_number(value.total)}"
    yield f"{metric.name}_count{_braced(pairs)} {sum(value.counts)}"


def _pairs(metric: Metric, labels: Labels) -> list[str]:
    return [
        f'{name}="{_escaped(value, quotes=True)}"'
        for name, value in zip(metric.labels, labels, strict=True)
    ]


def _braced(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
