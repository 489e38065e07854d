"""Counts and durations by name, kept in the process: counters, histograms, and the list of all.

```
name ── labels (group, type, outcome) ── a number, or buckets of a histogram
```

A label never takes a value that grows with the work, such as a stream's id. Even so, each metric
holds so many sets of labels at most; what comes beyond is counted under `other`.

One lock guards all, and it is taken once for what one commit brings, not once a message. Gauges are
not kept: whoever shows them reads the store, see `sourced.runtime`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["METRICS", "OTHER", "Distribution", "Family", "Labels", "Metric", "Metrics"]

Labels = tuple[str, ...]

OTHER: Final = "other"
"""The value of every label of what is beyond the bound."""

LABEL_SETS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """Something that is counted or measured.

    Attributes:
        name: ends in its unit, or in `_total` if it counts.
        kind: a counter only grows, a gauge goes up and down, a histogram sorts into buckets.
        help: what it says, one sentence.
        labels: the names of its labels.
        bounds: of a histogram's buckets, inclusive, without the last one that has no bound.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram has measured.

    Attributes:
        counts: how many were in each bucket, the one without a bound last.
        total: their sum.
    """

    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its present values, by the values of its labels."""

    metric: Metric
    values: Mapping[Labels, float | Distribution]


_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

APPENDED = Metric(
    "sourced_appended_total", "counter", "Messages appended by this process.", ("type",)
)
PROMOTED = Metric(
    "sourced_promoted_total", "counter", "Scheduled messages that this process put into the log."
)
HANDLED = Metric(
    "sourced_handled_total",
    "counter",
    "Messages handled and committed by this process, replayed ones included.",
    ("group", "type"),
)
HANDLE_SECONDS = Metric(
    "sourced_handle_seconds",
    "histogram",
    "Time in handlers, one measurement for what is handled in one go; outcome is ok or failed.",
    ("group", "outcome"),
    _SHORT,
)
END_TO_END_SECONDS = Metric(
    "sourced_end_to_end_seconds",
    "histogram",
    "From the making of a message to the commit of its handling, without replayed messages.",
    ("group",),
    _LONG,
)
RETRIES = Metric(
    "sourced_retries_total",
    "counter",
    "Messages that failed and wait for another try.",
    ("group", "type"),
)
PARKED = Metric(
    "sourced_parked_total",
    "counter",
    "Streams parked at a message of this type.",
    ("group", "type"),
)
SKIPPED = Metric(
    "sourced_skipped_total", "counter", "Messages skipped by their policy.", ("group", "type")
)
LEASE_LOST = Metric(
    "sourced_lease_lost_total",
    "counter",
    "Claims that were somebody else's when this process was to commit.",
    ("group",),
)
LISTENER_RECONNECTS = Metric(
    "sourced_listener_reconnects_total",
    "counter",
    "How often the listener for other processes' hints has connected again.",
)

PENDING = Metric(
    "sourced_pending_messages",
    "gauge",
    "Messages that the group has still to handle, counted up to 10000.",
    ("group",),
)
OLDEST_PENDING_SECONDS = Metric(
    "sourced_oldest_pending_seconds",
    "gauge",
    "For how long the oldest delivery has been ready; 0 if none is.",
    ("group",),
)
CLAIMS_HELD = Metric(
    "sourced_claims_held", "gauge", "Streams that workers of any process hold.", ("group",)
)
PARKED_STREAMS = Metric(
    "sourced_parked_streams", "gauge", "Streams that wait for an operator.", ("group",)
)
GROUP_STOPPED = Metric(
    "sourced_group_stopped", "gauge", "1 if the group is stopped, else 0.", ("group",)
)
STORE_UP = Metric("sourced_store_up", "gauge", "1 if the store has answered, else 0.")

COUNTED = (
    APPENDED,
    PROMOTED,
    HANDLED,
    HANDLE_SECONDS,
    END_TO_END_SECONDS,
    RETRIES,
    PARKED,
    SKIPPED,
    LEASE_LOST,
)
READ = (
    PENDING,
    OLDEST_PENDING_SECONDS,
    CLAIMS_HELD,
    PARKED_STREAMS,
    GROUP_STOPPED,
    STORE_UP,
    LISTENER_RECONNECTS,
)
METRICS: tuple[Metric, ...] = (*COUNTED, *READ)
"""All there are: those that each process counts, then those that are read from the store."""


class Metrics:
    """What a process has counted and measured; every method may be called from any thread.

    Args:
        label_sets: how many sets of labels a metric has at most, `other` not counted.
    """

    def __init__(self, *, label_sets: int = LABEL_SETS) -> None:
        self._lock = threading.Lock()
        self._label_sets = label_sets
        self._counts: dict[Metric, dict[Labels, int]] = {}
        self._measured: dict[Metric, dict[Labels, tuple[list[int], list[float]]]] = {}
        self._acked: dict[str, int] = {}

    def add(self, metric: Metric, labels: Labels = (), amount: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._add(metric, labels, amount)

    def add_all(self, metric: Metric, counts: Mapping[Labels, int]) -> None:
        """Count several things."""
        with self._lock:
            for labels, amount in counts.items():
                self._add(metric, labels, amount)

    def observe(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        """Take what was measured, in seconds."""
        with self._lock:
            self._observe(metric, labels, values)

    def handled(self, group: str, types: Mapping[Labels, int], ages: Sequence[float]) -> None:
        """Note what one commit has handled for a group.

        Args:
            group: the group.
            types: how many messages, by (group, type).
            ages: of those that were not replayed, in seconds, since they were made.
        """
        with self._lock:
            for labels, amount in types.items():
                self._add(HANDLED, labels, amount)
            if ages:
                self._observe(END_TO_END_SECONDS, (group,), ages)
            self._acked[group] = self._acked.get(group, 0) + 1

    def acked(self, group: str) -> int:
        """Return how many commits have handled something for a group."""
        return self._acked.get(group, 0)

    def families(self) -> tuple[Family, ...]:
        """Return everything that is counted, by metric, as of now."""
        with self._lock:
            return tuple(Family(metric, self._values(metric)) for metric in COUNTED)

    def value(self, metric: Metric, labels: Labels = ()) -> float:
        """Return the present value of a counter."""
        with self._lock:
            return self._counts.get(metric, {}).get(labels, 0)

    def _values(self, metric: Metric) -> dict[Labels, float | Distribution]:
        if metric.kind == "histogram":
            return {
                labels: Distribution(tuple(counts), total[0])
                for labels, (counts, total) in self._measured.get(metric, {}).items()
            }
        known: dict[Labels, float | Distribution] = dict(self._counts.get(metric, {}))
        return known or ({} if metric.labels else {(): 0})

    def _add(self, metric: Metric, labels: Labels, amount: int) -> None:
        series = self._counts.setdefault(metric, {})
        if labels not in series and len(series) >= self._label_sets:
            labels = (OTHER,) * len(labels)
        series[labels] = series.get(labels, 0) + amount

    def _observe(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        series = self._measured.setdefault(metric, {})
        if labels not in series and len(series) >= self._label_sets:
            labels = (OTHER,) * len(labels)
        found = series.get(labels)
        if found is None:
            found = series[labels] = ([0] * (len(metric.bounds) + 1), [0.0])
        counts, total = found
        _sort_in(counts, metric.bounds, values)
        total[0] += sum(values)


def _sort_in(counts: list[int], bounds: Sequence[float], values: Sequence[float]) -> None:
    """Count values in their buckets; of many, the few bounds are looked for among them."""
    if len(values) <= len(bounds):
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        return
    ordered, before = sorted(values), 0
    for n, bound in enumerate(bounds):
        upto = bisect_right(ordered, bound)
        counts[n] += upto - before
        before = upto
    counts[len(bounds)] += len(ordered) - before
