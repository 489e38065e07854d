"""Renaming groups: progress goes along, and no old worker brings the old group back."""

from __future__ import annotations

import pytest

from sourced._store import Store
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    RegistrationError,
    UnknownGroupError,
)
from sourced_testing.conformance._given import Given, Suite, message

__all__ = ["RenameConformance"]


def _names(store: Store) -> list[str]:
    return [group.name for group in store.inspect.groups()]


class RenameConformance(Suite):
    """What `register` promises with `was`."""

    def test_a_group_known_under_a_former_name_is_renamed(self, store: Store, given: Given) -> None:
        """I2: its progress goes with it."""
        given.group("Old")
        given.appended("a", "added", "added")
        given.appended("b", "added")
        given.acked(given.claimed("Old"), 1)

        registration = store.register("New", ["added"], was=["Ancient", "Old"])
        given.appended("c", "added")

        assert not registration.created
        assert _names(store) == ["New"]
        assert sorted(given.drained("New")) == [("a", 2), ("b", 1), ("c", 1)]

    def test_an_unknown_former_name_is_ignored(self, store: Store) -> None:
        """The group may be new in this database."""
        assert store.register("New", ["added"], was=["Old"]).created

    def test_a_former_name_that_is_a_group_of_its_own_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """Two groups cannot become one."""
        given.group("Old")
        given.group("New")

        with pytest.raises(RegistrationError):
            store.register("New", ["added"], was=["Old"])

        assert _names(store) == ["New", "Old"]

    # old workers

    def test_an_old_worker_that_restarts_does_not_make_the_old_group_anew(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T1: all that was decided would be decided again."""
        given.group("Old")
        given.appended("a", "added")
        given.drained("Old")
        store.register("New", ["added"], was=["Old"])

        with pytest.raises(RegistrationError, match=r"'Old' was renamed to 'New'.*new code"):
            other.register("Old", ["added", "removed"])
        again = store.register("New", ["added"], was=["Old"])

        assert not again.created
        assert _names(store) == ["New"]
        assert given.group_status("New").types == {"added"}
        assert store.inspect.status().deliveries == 0
        assert store.claim("Old", given.worker()) == []

    def test_an_old_worker_that_still_runs_commits_nothing(
        self, store: Store, given: Given
    ) -> None:
        """I3: its claim is lost at the renaming, and taken by the new code."""
        given.group("Old")
        given.appended("a")
        given.appended("b")
        old = given.claimed("Old")

        store.register("New", ["added"], was=["Old"])
        with pytest.raises(CommitRefusedError) as refused:
            given.acked(old, 1, append=(message("out"),))

        assert isinstance(refused.value.failures["a"], ClaimLostError)
        assert store.claim("Old", old.worker) == []
        assert store.release([old]) == 0
        assert sorted(given.drained("New")) == [("a", 1), ("b", 1)]
        assert given.stream("out") == []

    def test_what_an_old_worker_appends_is_for_the_new_name_only(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """I2: there is one group, whoever writes."""
        given.group("Old")
        store.register("New", ["added"], was=["Old"])

        appended = other.append([message("a")])

        assert appended.groups == {"New"}
        assert [row.group for row in store.inspect.deliveries()] == ["New"]

    def test_operations_on_the_old_name_are_refused(self, store: Store, given: Given) -> None:
        """A former name is no group."""
        given.group("Old")
        store.register("New", ["added"], was=["Old"])

        with pytest.raises(UnknownGroupError):
            store.stop("Old")

    # several names in turn

    def test_a_group_is_known_by_all_of_its_former_names(self, store: Store, given: Given) -> None:
        """T1: a worker two versions old is refused, and so is one version."""
        given.group("First")
        store.register("Second", ["added"], was=["First"])
        store.register("Third", ["added"], was=["First", "Second"])

        with pytest.raises(RegistrationError, match="'First' was renamed to 'Third'"):
            store.register("First", ["added"])
        with pytest.raises(RegistrationError, match="'Second' was renamed to 'Third'"):
            store.register("Second", ["added"], was=["First"])

        assert _names(store) == ["Third"]

    def test_a_name_in_was_that_was_renamed_meanwhile_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """T1: the group would begin anew beside the one it means."""
        given.group("First")
        store.register("Second", ["added"], was=["First"])

        with pytest.raises(RegistrationError, match="'First' was renamed to 'Second'"):
            store.register("Third", ["added"], was=["First"])
        store.register("Third", ["added"], was=["First", "Second"])

        assert _names(store) == ["Third"]

    def test_a_group_may_take_a_former_name_of_its_own_again(
        self, store: Store, given: Given
    ) -> None:
        """To go back to older code, which then names the newer name in `was`."""
        given.group("Old")
        given.appended("a")
        store.register("New", ["added"], was=["Old"])

        back = store.register("Old", ["added"], was=["New"])
        with pytest.raises(RegistrationError, match="'New' was renamed to 'Old'"):
            store.register("New", ["added"])

        assert not back.created
        assert _names(store) == ["Old"]
        assert not store.register("Old", ["added"]).created
        assert given.drained("Old") == [("a", 1)]

    def test_no_other_group_takes_a_former_name(self, store: Store, given: Given) -> None:
        """T1: old workers would handle what is not theirs."""
        given.group("Old")
        given.group("Other")
        store.register("New", ["added"], was=["Old"])

        with pytest.raises(RegistrationError, match="'Old' was renamed to 'New'"):
            store.register("Old", ["added"], was=["Other"])

        assert _names(store) == ["New", "Other"]

    def test_a_removed_group_is_forgotten_with_its_former_names(
        self, store: Store, given: Given
    ) -> None:
        """They are free for a new group."""
        given.group("Old")
        store.register("New", ["added"], was=["Old"])

        store.remove("New")

        assert store.register("Old", ["added"]).created
