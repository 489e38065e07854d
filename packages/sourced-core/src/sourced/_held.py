"""The claims that a round holds: each is committed, kept for the rest, or given back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sourced._engine import Engine, logger
from sourced._metrics import LEASE_LOST
from sourced._settling import STORE_PAUSE, FollowUp, no_follow_up
from sourced._store import Claim, Park, Retry, Then
from sourced.errors import ClaimLostError

__all__ = ["Held"]


class Held:
    """Claims by stream, and the ways out of them.

    Attributes:
        is_in_doubt: claims could not be given back; the store keeps them for as long as the worker
            lives.
    """

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._metrics = engine.metrics
        self._claims: dict[str, Claim] = {}
        self.is_in_doubt = False

    def __contains__(self, stream_id: str) -> bool:
        return stream_id in self._claims

    def __getitem__(self, stream_id: str) -> Claim:
        return self._claims[stream_id]

    def take(self, claims: Iterable[Claim]) -> None:
        """Hold what was claimed."""
        self._claims.update((claim.stream_id, claim) for claim in claims)

    def committed(self, stream_id: str, kept: Claim | None = None) -> None:
        """Hold what a commit left of a claim, if anything."""
        if kept is None:
            self._claims.pop(stream_id, None)
        else:
            self._claims[stream_id] = kept

    def lost(self, stream_id: str, error: Exception) -> None:
        """Drop a claim that is somebody else's by now; nothing of it was committed."""
        claim = self._claims.pop(stream_id)
        self._metrics.add(LEASE_LOST, (claim.group,))
        logger.warning(
            "lease_lost: group %s, stream %s: %s",
            claim.group,
            stream_id,
            error,
            extra={"group": claim.group, "stream": stream_id, "worker": claim.worker},
        )

    def give_up(self, stream_id: str, then: Then, follow_up: FollowUp = no_follow_up) -> None:
        """Let go of a stream of which nothing was handled."""
        claim = self._claims[stream_id]
        try:
            if isinstance(then, Retry):
                self._store.retry(claim, then)
            elif isinstance(then, Park):
                self._store.park(claim, then)
            else:
                self._store.release([claim])
        except ClaimLostError as error:
            self.lost(stream_id, error)
            return
        del self._claims[stream_id]
        follow_up()

    def give_back_later(self, stream_id: str, after: timedelta = STORE_PAUSE) -> None:
        """Let go of a stream for a while; it was no attempt of its message."""
        self.give_up(stream_id, Retry(after=after, counts=False))

    def give_back(self, stream_ids: Iterable[str] | None = None) -> None:
        """Release what is held, or these of it, untouched; what cannot be is in doubt."""
        given = list(self._claims if stream_ids is None else stream_ids)
        claims = [self._claims.pop(stream_id) for stream_id in given]
        if not claims:
            return
        try:
            self._store.release(claims)
        except Exception:  # noqa: BLE001 - the error that ended the round must not be hidden
            self.is_in_doubt = True
            logger.warning(
                "could not release %d claims; they end with the worker",
                len(claims),
                extra={"group": claims[0].group, "worker": claims[0].worker},
            )
