"""The points at which a store may go wrong: what was built, and what a naive reading does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["BUILT", "Choices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How the verbs do what they do; the defaults are what was built.

    Attributes:
        epochs: drawn from one counter of the store, or counted in the delivery's row, which is
            deleted and made again.
        compares_next_seq: whether a commit compares the claim's `next_seq`, beside its worker and
            its epoch.
        claims: what is pending is read by a later transaction, or in the claim's own statement.
        checks_claims: the claims of a commit are checked under their rows' locks; by a commit that
            takes the stream's lock first, under that only; before anything is locked; or never.
        expects: expectations are checked in the statement after the lock, by a snapshot older than
            the lock, or not at all.
        acks: an ack looks for what is pending in a statement after the lock and after its own
            outputs, or by a snapshot older than the lock.
        keep_looks: whether a claim is kept only if something is pending behind the ack.
        decides: under the stream's lock, or before it is taken; of `commit_locked`.
        writes_elsewhere: whether what is decided under a stream's lock may go to other streams.
        gives_back: release, retry and park name worker, epoch and `next_seq`; or the worker only.
        releases: a release waits for a row that is locked, or passes over it.
        lets_go: release and leave lock all their rows before they change any, or row by row.
        sorts_locks: whether streams are locked in one order, or as they come.
        removes: a removal shuts out appends before it deletes, or does not.
        resets_share: whether a reset shares subscriptions, as an append does.
        resets: a reset locks the stream before it reads, or reads first.
        skips: a skip locks the stream before it reads, or reads first.
        moves_on: what follows an unsubscription locks the stream before it reads, or reads first.
        moving_frees: whether a delivery that moves on is taken from its worker.
        unsubscribes: shuts out appends and then locks the group, or the other way round; or does
            not shut them out.
        registers: shuts out appends and fills in chunks, or does all in one transaction that shuts
            out appends, or that does not.
        fill_checks: whether a chunk is filled only while the group is filling, which is looked up
            under the lock of the group's row.
        fill_restarts: whether types added to a filling group let the fill begin again.
        gives_up: whether who waits for all appends gives up after a while and tries again.
        isolation: of the transactions that append.
        rename_frees: whether a renaming frees the claims made under the former name.
        rename_waits: whether a renaming waits for claims that are being made.
        remembers_names: whether a former name is refused to a new group.
        ends_deadlocks: PostgreSQL always does. The model does not, except where a scenario says so,
            so that a circle among the store's own locks shows.
    """

    epochs: Literal["counter", "row"] = "counter"
    compares_next_seq: bool = True
    claims: Literal["reads later", "reads at once"] = "reads later"
    checks_claims: Literal["under locks", "under the stream's", "before locks", "never"] = (
        "under locks"
    )
    expects: Literal["after the lock", "before the lock", "nothing"] = "after the lock"
    acks: Literal["after the lock", "before the lock"] = "after the lock"
    keep_looks: bool = True
    decides: Literal["under the lock", "before the lock"] = "under the lock"
    writes_elsewhere: bool = False
    gives_back: Literal["the claim", "the worker's"] = "the claim"
    releases: Literal["waits", "passes over"] = "waits"
    lets_go: Literal["locks first", "row by row"] = "locks first"
    sorts_locks: bool = True
    removes: Literal["alone", "beside appends"] = "alone"
    resets_share: bool = True
    resets: Literal["locks first", "reads first"] = "locks first"
    skips: Literal["locks first", "reads first"] = "locks first"
    moves_on: Literal["locks first", "reads first"] = "locks first"
    moving_frees: bool = True
    unsubscribes: Literal["alone", "alone, the group first", "beside appends"] = "alone"
    registers: Literal["in chunks", "at once, alone", "at once, beside appends"] = "in chunks"
    fill_checks: bool = True
    fill_restarts: bool = True
    gives_up: bool = True
    isolation: Literal["read committed", "repeatable read"] = "read committed"
    rename_frees: bool = True
    rename_waits: bool = True
    remembers_names: bool = True
    ends_deadlocks: bool = False


BUILT = Choices()
"""What `sourced_postgres` does."""
