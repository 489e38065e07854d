"""Data: what is stored is read back equal, whatever it is; what is too large is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sourced._ids import new_id
from sourced._limits import MAX_MESSAGE_BYTES
from sourced._records import NewMessage, ScheduledMessage
from sourced._store import Snapshot, Store, StreamCommit
from sourced.errors import CommitRefusedError, PayloadError
from sourced_testing.conformance._given import Given, Suite, message

__all__ = ["DataConformance"]

_PAYLOADS: dict[str, Any] = {
    "empty": {},
    "an integer beyond 64 bits": {"n": 2**200, "minus": -(2**70)},
    "a decimal as text": {"price": "1234567890.123456789012345678901234567890"},
    "floats": {"tiny": 5e-324, "huge": 1.7976931348623157e308, "minus zero": -0.0},
    "nested": {"a": [{"b": [None, True, False, {"c": []}]}, []]},
    "quotes and escapes": {"text": "'\"\\/\b\f\n\r\t%s %(x)s :name ? $1 {}"},
    "beyond the basic plane": {"text": "a café, 日本語, 🛒, \u200d, \ufeff, \u2028"},
    "a key for every taste": {"": 1, " ": 2, "ключ": 3, "$": 4, "a.b": 5},
}

_STREAM_IDS = [
    "a",
    "A",
    "a ",
    " a",
    "a%b_c\\d",
    "it's; DROP TABLE messages; --",
    'quoted "id"',
    "caf\u00e9",
    "cafe\u0301",
    "🛒",
    "a/b:c#d?e",
    "x" * 255,
]

_MOMENTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


def _without_place(stored: object) -> dict[str, Any]:
    """Return the fields of a stored message that it had when it was appended."""
    fields = asdict(stored)  # type: ignore[call-overload]
    return {name: value for name, value in fields.items() if name not in ("seq", "position")}


class DataConformance(Suite):
    """I11: a payload is refused before any statement runs, or read back equal."""

    @pytest.mark.parametrize("payload", _PAYLOADS.values(), ids=list(_PAYLOADS))
    def test_payload_and_meta_are_read_back_equal(
        self, store: Store, given: Given, payload: dict[str, Any]
    ) -> None:
        """T54: as the same text, by every way of reading."""
        text = json.dumps(payload, ensure_ascii=False)
        new = message("a", payload=text, meta=text)
        given.group()

        (stored,) = store.append([new]).messages

        assert _without_place(stored) == asdict(new)
        assert given.pending(given.claimed()).messages == (stored,)
        assert store.read_one(new.id) == stored
        assert given.stream("a") == given.log() == [stored]
        assert store.trace(new.id) == (stored,)

    def test_every_field_of_the_envelope_is_kept(self, store: Store, given: Given) -> None:
        """T54: causation, correlation and version among them."""
        new = NewMessage(
            id=new_id(),
            type="Ünusual.type-name/v2",
            stream_id="a",
            payload="{}",
            meta='{"user": "ada"}',
            created_at=datetime(2026, 3, 29, 1, 30, 0, 123457, tzinfo=UTC),
            causation_id=new_id(),
            correlation_id=new_id(),
            version=7,
        )

        store.append([new])

        (read,) = given.stream("a")
        assert _without_place(read) == asdict(new)

    @pytest.mark.parametrize("moment", _MOMENTS, ids=str)
    def test_moments_keep_their_microseconds(
        self, store: Store, given: Given, moment: datetime
    ) -> None:
        """T54: in the years 1 to 9999, aware and in UTC."""
        store.append([message("a", created_at=moment)])

        (read,) = given.stream("a")

        assert read.created_at == moment
        assert read.created_at.utcoffset() == timedelta(0)

    def test_moments_of_other_zones_are_the_same_moments(self, store: Store, given: Given) -> None:
        """T38, T54: whatever zone they were given in."""
        zone = timezone(timedelta(hours=-9, minutes=-30))
        moment = datetime(2026, 10, 25, 2, 30, tzinfo=zone)

        store.append([message("a", created_at=moment)])

        (read,) = given.stream("a")
        assert read.created_at == moment

    def test_stream_ids_are_told_apart_by_every_character(self, store: Store, given: Given) -> None:
        """I1: case, blanks and accents make different streams, and need no escaping."""
        given.group()
        store.append([message(stream_id) for stream_id in _STREAM_IDS])

        for stream_id in _STREAM_IDS:
            assert [one.stream_id for one in given.stream(stream_id)] == [stream_id]
            assert given.row("G", stream_id).next_seq == 1
        assert sorted(given.drained()) == sorted((stream_id, 1) for stream_id in _STREAM_IDS)
        assert store.inspect.status().streams == len(_STREAM_IDS)

    def test_types_and_groups_are_told_apart_by_every_character(self, given: Given) -> None:
        """I2: case and blanks among them."""
        given.group("Gruppe ä", "Added")
        given.group("gruppe ä", "added")

        given.appended("a", "added", "Added", "added ")

        assert given.drained("Gruppe ä") == [("a", 2)]
        assert given.drained("gruppe ä") == [("a", 1)]

    def test_a_large_payload_is_stored_and_handled(self, store: Store, given: Given) -> None:
        """T55: ten megabytes."""
        given.group()
        text = json.dumps({"text": "x" * 10_000_000})

        store.append([message("a", payload=text)])

        (read,) = given.pending(given.claimed()).messages
        assert read.payload == text

    def test_a_message_that_is_too_large_is_refused_and_nothing_is_written(
        self, store: Store, given: Given
    ) -> None:
        """T55, I11: by append, by commit, and clearly."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        large = message("b", "large", payload=json.dumps({"text": "x" * MAX_MESSAGE_BYTES}))
        later = ScheduledMessage(message=large, due_at=store.now())

        with pytest.raises(PayloadError) as refused:
            store.append([message("c"), large])
        with pytest.raises(PayloadError):
            store.schedule([later])
        for part in (
            StreamCommit(claim=claim, ack_seq=1, append=(large,)),
            StreamCommit(claim=claim, ack_seq=1, schedule=(later,)),
        ):
            with pytest.raises(CommitRefusedError) as named:
                store.commit(claim.worker, [part])
            assert isinstance(named.value.failures["a"], PayloadError)

        assert refused.value.type == "large"
        assert len(given.log()) == 1
        assert store.inspect.schedule() == ()
        assert given.row().worker == claim.worker

    def test_what_is_scheduled_is_read_back_equal(self, store: Store, given: Given) -> None:
        """T54: while it waits, and when it is in the log."""
        text = json.dumps({"text": "🛒 '\"", "n": 2**70}, ensure_ascii=False)
        new = message("it's", "Ünusual", payload=text, meta=text, causation_id=new_id())
        store.schedule([ScheduledMessage(message=new, due_at=store.now())])

        (waiting,) = store.inspect.schedule()
        store.promote_due()

        assert waiting.message == new
        (stored,) = given.log()
        assert _without_place(stored) == asdict(new)

    def test_a_snapshot_is_replaced_and_read_back_equal(self, store: Store, given: Given) -> None:
        """T54: only the newest is kept."""
        given.group()
        states = [json.dumps({"text": "🛒 '\"", "n": n}, ensure_ascii=False) for n in range(2)]
        older, newer = (
            Snapshot(group="G", stream_id="it's", seq=seq, version=2, state=state)
            for seq, state in enumerate(states, start=1)
        )
        for snapshot in (older, newer):
            given.appended("it's")
            given.acked(given.claimed(stream_id="it's"), snapshot.seq, snapshot=snapshot)

        assert store.read_snapshots("G", ["it's", "a"], version=2) == {"it's": newer}
        assert store.read_snapshots("H", ["it's"], version=2) == {}
