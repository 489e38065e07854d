"""What a process counts and measures, and the text that Prometheus reads of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sourced import Actor, App, Command, ErrorPolicy, Event, Park, Reactor, Skip, Unit, command, on
from sourced._metrics import (
    APPENDED,
    COUNTED,
    END_TO_END_SECONDS,
    HANDLE_SECONDS,
    HANDLED,
    LEASE_LOST,
    PARKED,
    PENDING,
    PROMOTED,
    RETRIES,
    SKIPPED,
    Distribution,
    Family,
    Labels,
    Metric,
    Metrics,
)
from sourced._prometheus import prometheus_text
from sourced_testing import FakeClock

AppFactory = Callable[..., App]

COUNT = Metric("things_total", "counter", "Things.", ("group", "type"))
TIME = Metric("thing_seconds", "histogram", "Time of things.", ("group",), (0.1, 1.0))


class Add(Command, type="metrics.add"):
    number: int


class Added(Event, type="metrics.added"):
    number: int


class Adder(Actor[None], group="Adder"):
    def initial_state(self, stream_id: str) -> None:
        return None

    @command
    def add(self, state: None, cmd: Add) -> Any:
        yield Added(number=cmd.number)


class Watcher(Reactor, group="Watcher"):
    @on
    def added(self, event: Added) -> None:
        pass


def distribution(app: App, metric: Metric, *labels: str) -> Distribution:
    (family,) = (each for each in app.metrics.families() if each.metric is metric)
    found = family.values[labels]
    assert isinstance(found, Distribution)
    return found


# --- what is counted ------------------------------------------------------------------------------


def test_what_is_appended_and_handled_is_counted_by_type_and_group(app_on: AppFactory) -> None:
    app = app_on(Adder, Watcher)
    for n in range(5):
        app.dispatch(Add(number=n), to=f"s-{n % 2}")

    app.drain()

    assert app.metrics.value(APPENDED, ("metrics.add",)) == 5
    assert app.metrics.value(APPENDED, ("metrics.added",)) == 5
    assert app.metrics.value(HANDLED, ("Adder", "metrics.add")) == 5
    assert app.metrics.value(HANDLED, ("Watcher", "metrics.added")) == 5
    assert distribution(app, HANDLE_SECONDS, "Adder", "ok").total >= 0


def test_every_way_into_the_log_is_counted_and_a_repeat_is_not(app_on: AppFactory) -> None:
    from sourced import Dispatch

    app = app_on(Adder)
    add = Add(number=1)
    app.dispatch(add, to="a")
    app.dispatch(add, to="a")
    app.dispatch_many([Dispatch(Add(number=n), to="b") for n in range(3)])
    app.append([Added(number=1), Added(number=2)], to="c")
    with app.transaction() as transaction:
        transaction.dispatch(Add(number=7), to="d")
        transaction.append(Added(number=7), to="d")
    app.handle(Add(number=9), to="e")
    Unit(app, Adder).handle(Add(number=9), to="f")

    assert app.metrics.value(APPENDED, ("metrics.add",)) == 1 + 3 + 1 + 1 + 1
    assert app.metrics.value(APPENDED, ("metrics.added",)) == 2 + 1 + 1 + 1
    assert app.metrics.value(HANDLED, ("Adder", "metrics.add")) == 2


def test_a_scheduled_message_counts_when_it_enters_the_log(
    app_on: AppFactory, clock: FakeClock
) -> None:
    app = app_on(Adder)
    app.dispatch(Add(number=1), to="a", after=timedelta(hours=1))
    clock.advance(hours=1)

    before = app.metrics.value(PROMOTED)
    app.drain()

    assert (before, app.metrics.value(PROMOTED)) == (0, 1)


def test_end_to_end_is_from_the_making_to_the_commit_and_leaves_replays_out(
    app_on: AppFactory, clock: FakeClock
) -> None:
    app = app_on(Watcher)
    app.append(Added(number=1), to="s")
    clock.advance(seconds=40)
    app.drain()
    app.groups.reset(Watcher)
    clock.advance(hours=10)
    app.append(Added(number=2), to="s")
    app.drain()

    measured = distribution(app, END_TO_END_SECONDS, "Watcher")
    assert sum(measured.counts) == 2
    assert 40 <= measured.total < 41
    assert app.metrics.value(HANDLED, ("Watcher", "metrics.added")) == 3


@pytest.mark.parametrize(
    ("policy", "metric"),
    [
        (ErrorPolicy(retries=1), RETRIES),
        (lambda failure: Park(), PARKED),
        (lambda failure: Skip(reason="no"), SKIPPED),
    ],
)
def test_what_becomes_of_a_failure_is_counted(
    app_on: AppFactory, policy: Any, metric: Metric
) -> None:
    class Failing(Reactor, group="Failing", errors=policy):
        @on
        def added(self, event: Added) -> None:
            raise ValueError("no")

    app = app_on(Failing)
    app.append(Added(number=1), to="s")

    app.drain()

    assert app.metrics.value(metric, ("Failing", "metrics.added")) == 1
    assert sum(distribution(app, HANDLE_SECONDS, "Failing", "failed").counts) == 1
    assert app.metrics.value(HANDLED, ("Failing", "metrics.added")) == 0


def test_a_claim_that_was_lost_is_counted(app_on: AppFactory, clock: FakeClock) -> None:
    class Frozen(Reactor, group="Frozen"):
        @on
        def added(self, event: Added) -> None:
            (delivery,) = app.store.inspect.deliveries(group="Frozen")
            if delivery.attempts == 1:
                clock.advance(hours=1)
                app.store.reap(timedelta(seconds=15))

    app = app_on(Frozen)
    app.append(Added(number=1), to="s")

    app.drain()

    assert app.metrics.value(LEASE_LOST, ("Frozen",)) == 1


# --- bounds and threads ---------------------------------------------------------------------------


def test_label_sets_are_bounded_and_the_rest_is_counted_together() -> None:
    metrics = Metrics(label_sets=3)

    for n in range(10):
        metrics.add(COUNT, ("g", f"type-{n}"))
        metrics.observe(TIME, (f"g-{n}",), [0.5])
    metrics.add(COUNT, ("g", "type-1"))

    assert metrics.value(COUNT, ("g", "type-1")) == 2
    assert metrics.value(COUNT, ("other", "other")) == 7
    assert len(metrics._measured[TIME]) == 4


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        for _ in range(2_000):
            metrics.handled("g", {("g", "t"): 2}, [0.5])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert metrics.value(HANDLED, ("g", "t")) == 16_000
    assert metrics.acked("g") == 8_000


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_a_value_is_in_the_first_bucket_whose_bound_it_does_not_exceed(count: int) -> None:
    metrics = Metrics()

    for value in (0.0, 0.1, 0.11, 1.0, 7.0):
        metrics.observe(TIME, ("g",), [value] * count)

    counts, (total,) = metrics._measured[TIME]["g",]
    assert counts == [2 * count, 2 * count, count]
    assert total == pytest.approx(8.21 * count)


def test_no_label_says_which_stream_or_message() -> None:
    labels = {label for metric in COUNTED for label in metric.labels}

    assert labels == {"group", "type", "outcome"}


# --- as text --------------------------------------------------------------------------------------


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What Prometheus' own library reads, by the name of each sample and its labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sorted(sample.labels.items()))
            assert key not in found.setdefault(sample.name, {}), "a sample that comes twice"
            found[sample.name][key] = sample.value
    return found


def test_prometheus_reads_counters_gauges_and_histograms() -> None:
    metrics = Metrics()
    for seconds in (0.1, 0.5, 2.0):
        metrics.observe(TIME, ("g",), [seconds])
    families = [
        Family(COUNT, {("g", "t"): 3}),
        Family(TIME, {("g",): Distribution((1, 1, 1), 2.6)}),
        Family(PENDING, {("g",): 1.5}),
    ]

    samples = parsed(prometheus_text(families))

    group = (("group", "g"),)
    assert samples["things_total"] == {(*group, ("type", "t")): 3}
    assert samples["sourced_pending_messages"] == {group: 1.5}
    assert samples["thing_seconds_bucket"] == {
        (*group, ("le", "0.1")): 1,
        (*group, ("le", "1")): 2,
        (*group, ("le", "+Inf")): 3,
    }
    assert samples["thing_seconds_sum"] == {group: 2.6}
    assert samples["thing_seconds_count"] == {group: 3}


@pytest.mark.parametrize(
    "name",
    ['quo"te', "back\\slash", "new\nline", "\\n", "cr\rtab\t", "\u2028 é 漢", "}{,=", '\\"'],
)
def test_names_of_groups_are_escaped(name: str) -> None:
    labels: Labels = (name, "t")

    text = prometheus_text([Family(COUNT, {labels: 1})])

    assert parsed(text)["things_total"] == {(("group", name), ("type", "t")): 1}


def test_help_is_escaped_and_every_family_has_help_and_type() -> None:
    odd = Metric("odd", "gauge", "back\\slash and\nnew line")

    text = prometheus_text([Family(odd, {(): 1}), Family(COUNT, {})])

    (first, second) = text_string_to_metric_families(text)
    assert (first.documentation, first.type) == ("back\\slash and\nnew line", "gauge")
    assert (second.documentation, second.type, second.samples) == ("Things.", "counter", [])
    assert text.endswith("\n")
