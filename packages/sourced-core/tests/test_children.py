"""Which processes there are to be, decided over values: pauses, crash loops, heirs, the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from sourced.runtime._children import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PATIENCE,
    Action,
    Children,
    End,
    Kill,
    Start,
    Tell,
    asked_to_replace,
    asked_to_stop,
    beginning,
    ended,
    has_ended,
    joined,
    plan,
    slot_of,
    wake_at,
)

GRACE = 25.0


@dataclass
class Family:
    """Children, a clock, and what was to be done last."""

    children: Children
    now: float = 1_000.0
    actions: list[Action] = field(default_factory=list)

    def plan(self) -> list[Action]:
        self.children, self.actions = plan(self.children, self.now)
        assert plan(self.children, self.now) == (self.children, []), "done once is done"
        return self.actions

    def started(self) -> list[int]:
        return [a.id for a in self.plan() if isinstance(a, Start)]

    def join(self, *ids: int) -> list[Action]:
        for id in ids:
            self.children = joined(self.children, id)
        return self.plan()

    def end(self, id: int, how: End = "died") -> list[Action]:
        self.children = ended(self.children, id, how, self.now)
        return self.plan()

    def stop(self) -> list[Action]:
        self.children = asked_to_stop(self.children)
        return self.plan()

    def renew(self) -> list[Action]:
        self.children = asked_to_replace(self.children, self.now)
        return self.plan()

    def wait_for_start(self) -> float:
        """Let time pass until the next one starts; return how long that took."""
        at = wake_at(self.children)
        assert at is not None
        pause, self.now = at - self.now, at
        assert self.started()
        return pause

    @property
    def at_work(self) -> int:
        return sum(
            child.is_joined and child.told is None
            for slot in self.children.slots
            for child in slot.living
        )


def family(count: int, *, drains: bool = False) -> Family:
    """Children of which all have joined, as 1, 2, 3 and so on."""
    made = Family(beginning(count, grace=GRACE, drains=drains))
    assert made.started() == [1]
    made.join(1)
    made.join(*range(2, count + 1))
    return made


def down(family: Family) -> list[bool]:
    return [slot.is_down for slot in family.children.slots]


# --- the beginning --------------------------------------------------------------------------------


def test_one_starts_alone_and_the_others_when_it_has_joined() -> None:
    new = Family(beginning(3, grace=GRACE))

    first = new.plan()
    others = new.join(1)

    assert first == [Start(id=1, slot=1)]
    assert others == [Start(id=2, slot=2), Start(id=3, slot=3)]


@pytest.mark.parametrize("how", ["refused", "waiting"])
def test_if_the_first_one_cannot_start_that_is_the_end(how: End) -> None:
    new = Family(beginning(3, grace=GRACE))
    new.plan()

    actions = new.end(1, how)

    assert (actions, new.children.cannot_start, has_ended(new.children)) == ([], True, True)


def test_if_the_first_one_crashes_again_and_again_no_other_is_tried() -> None:
    new = Family(beginning(3, grace=GRACE))
    new.plan()

    for id in range(1, 5):
        new.end(id)
        new.wait_for_start()
    new.end(5)

    assert (down(new), has_ended(new.children)) == ([True] * 3, True)


# --- deaths ---------------------------------------------------------------------------------------


def test_pauses_double_from_half_a_second_to_half_a_minute() -> None:
    one, pauses = family(1), []

    for id in range(1, 12):
        one.now += 30  # so long that it is no crash loop, too short to have lived for long
        one.end(id)
        pauses.append(one.wait_for_start())
        one.join(id + 1)

    assert pauses[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert set(pauses[7:]) == {LONGEST_PAUSE}


def test_who_has_lived_for_a_minute_starts_again_with_the_first_pause() -> None:
    one = family(1)
    for id in (1, 2, 3):
        one.now += 30
        one.end(id)
        one.wait_for_start()
        one.join(id + 1)

    one.now += 60
    one.end(4)

    assert one.wait_for_start() == FIRST_PAUSE


def test_a_death_concerns_its_own_slot() -> None:
    three = family(3)

    assert three.end(2) == []
    assert three.wait_for_start() == FIRST_PAUSE

    assert three.actions == [Start(id=4, slot=2)]


def test_five_deaths_within_a_minute_leave_a_slot_down_and_the_others_at_work() -> None:
    two = family(2)

    for id in (2, 3, 4, 5):
        two.end(id)
        two.wait_for_start()
        two.join(id + 1)
    two.end(6)

    assert down(two) == [False, True]
    assert (wake_at(two.children), has_ended(two.children)) == (None, False)


def test_five_deaths_in_more_than_a_minute_are_no_crash_loop() -> None:
    one = family(1)

    for id in range(1, 30):
        one.now += 14.9
        one.end(id)
        one.wait_for_start()
        one.join(id + 1)

    assert down(one) == [False]


def test_when_all_are_down_it_is_over() -> None:
    two = family(2)

    for _ in range(5):
        for slot in two.children.slots:
            assert slot.child is not None
            two.end(slot.child.id)
        two.now += LONGEST_PAUSE / 5
        two.join(*two.started())

    assert (down(two), has_ended(two.children)) == ([True, True], True)


def test_a_store_that_does_not_answer_is_waited_for_with_growing_pauses() -> None:
    one, pauses, id = family(1), [], 1
    one.end(id)

    for _ in range(20):
        pauses.append(one.wait_for_start())
        id += 1
        one.end(id, "waiting")

    assert (down(one), max(pauses)) == ([False], LONGEST_PAUSE)


def test_one_that_somebody_else_has_ended_is_missed_but_no_death() -> None:
    one = family(1)

    for id in range(1, 20):
        one.end(id, "orderly")
        assert one.wait_for_start() == FIRST_PAUSE
        one.join(id + 1)

    assert down(one) == [False]


# --- replacement ----------------------------------------------------------------------------------


def test_all_are_replaced_one_by_one_and_never_fewer_work_than_are_wanted() -> None:
    three, working = family(3), []
    actions = three.renew()

    for old, new in ((1, 4), (2, 5), (3, 6)):
        assert actions == [Start(id=new, slot=old)]
        working.append(three.at_work)
        assert three.join(new) == [Tell(id=old, word="stop")]
        working.append(three.at_work)
        actions = three.end(old, "orderly")

    assert actions == []
    assert set(working) == {3}
    assert [slot.child and slot.child.id for slot in three.children.slots] == [4, 5, 6]


def test_if_a_successor_cannot_start_nobody_is_replaced() -> None:
    two = family(2)
    two.renew()

    actions = two.end(3, "refused")

    assert (actions, two.at_work) == ([], 2)
    assert two.renew() == [Start(id=4, slot=1)]


def test_if_the_old_one_dies_meanwhile_its_successor_has_the_slot() -> None:
    two = family(2)
    two.renew()

    actions = two.end(1)
    two.join(3)

    assert actions == [Start(id=4, slot=2)]
    assert slot_of(two.children, 3).child is not None
    assert two.at_work == 2


def test_a_successor_has_a_slot_whose_process_dies_for_the_fifth_time() -> None:
    one = family(1)
    for id in (1, 2, 3, 4):
        one.end(id)
        one.wait_for_start()
        one.join(id + 1)
    one.children = replace(
        one.children, slots=tuple(replace(s, is_outdated=True) for s in one.children.slots)
    )

    started = one.plan()
    one.end(5)
    one.join(6)

    assert started == [Start(id=6, slot=1)]
    assert (down(one), one.at_work) == ([False], 1)


def test_asked_again_half_way_those_that_are_new_already_are_replaced_too() -> None:
    two = family(2)
    two.renew()
    two.join(3)

    two.renew()
    started = [two.end(1, "orderly")]
    two.join(4)
    started.append(two.end(3, "orderly"))

    assert started == [[Start(id=4, slot=1)], [Start(id=5, slot=2)]]


def test_one_that_still_starts_is_replaced_when_it_has_joined() -> None:
    one = Family(beginning(1, grace=GRACE))
    one.plan()

    assert one.renew() == []
    assert one.join(1) == [Start(id=2, slot=1)]


def test_replacing_brings_back_what_was_left_down() -> None:
    two = family(2)
    for id in (2, 3, 4, 5):
        two.end(id)
        two.wait_for_start()
    two.end(6)

    actions = two.renew()

    assert Start(id=7, slot=2) in actions
    assert down(two) == [False, False]


def test_an_old_one_that_does_not_end_is_killed_when_its_grace_is_long_over() -> None:
    one = family(1)
    one.renew()
    one.join(2)

    one.now += GRACE + PATIENCE
    actions = one.plan()

    assert actions == [Kill(id=1)]


# --- the end --------------------------------------------------------------------------------------


def test_told_to_stop_all_are_told_and_none_is_started_again() -> None:
    three = family(3)
    three.end(2)

    actions = three.stop()
    three.end(1, "orderly")
    three.end(3)

    assert actions == [Tell(id=1, word="stop"), Tell(id=3, word="stop")]
    assert (wake_at(three.children), has_ended(three.children)) == (None, True)


def test_told_again_all_are_told_to_give_back_at_once() -> None:
    two = family(2)
    two.stop()

    actions = two.stop()
    third = two.stop()

    assert actions == [Tell(id=1, word="now"), Tell(id=2, word="now")]
    assert third == []


def test_told_to_stop_in_the_middle_of_a_replacement_old_and_new_are_told() -> None:
    one = family(1)
    one.renew()

    actions = one.stop()

    assert actions == [Tell(id=1, word="stop"), Tell(id=2, word="stop")]
    assert one.join(2) == []


@pytest.mark.parametrize(("times", "patience"), [(1, GRACE + PATIENCE), (2, PATIENCE)])
def test_who_does_not_end_in_time_is_killed(times: int, patience: float) -> None:
    one = family(1)
    for _ in range(times):
        one.stop()

    due = wake_at(one.children)
    one.now += patience
    actions = one.plan()

    assert due == one.now
    assert actions == [Kill(id=1)]


def test_told_to_stop_before_anything_has_started_it_is_over() -> None:
    new = Family(beginning(2, grace=GRACE))

    assert (new.stop(), has_ended(new.children)) == ([], True)


# --- draining -------------------------------------------------------------------------------------


def test_a_drain_is_over_when_each_has_ended_by_itself() -> None:
    two = family(2, drains=True)

    assert two.end(1, "orderly") == []
    assert not has_ended(two.children)
    assert two.end(2, "orderly") == []

    assert has_ended(two.children)


def test_one_that_dies_while_it_drains_is_started_again() -> None:
    two = family(2, drains=True)

    two.end(1)

    assert two.wait_for_start() == FIRST_PAUSE


def test_a_drain_that_an_error_ends_is_not_tried_again() -> None:
    one = family(1, drains=True)

    one.end(1, "waiting")

    assert has_ended(one.children)


def test_nobody_is_replaced_while_draining() -> None:
    one = family(1, drains=True)

    assert one.renew() == []
