"""Handle now: what the function is told of a chain that its caller has handled."""

from __future__ import annotations

import json
from typing import Any

from sourced._store import UnitOfWork
from sourced_postgres._rows import expectations, message_arrays, scheduled_json, snapshots_json

__all__ = ["unit_arguments"]


def unit_arguments(work: UnitOfWork) -> list[Any]:
    """Return the parameters of the function `handle_now`."""
    handled = [
        {"group": group, "stream_id": stream_id, "ids": [one.hex for one in ids]}
        for (group, stream_id), ids in sorted(work.handled.items(), key=lambda item: item[0])
    ]
    expected = [
        (place, {name: one}) for place, (name, one) in enumerate(sorted(work.expect.items()))
    ]
    return [
        json.dumps(handled),
        *message_arrays(work.messages),
        expectations(expected),
        scheduled_json(work.schedule),
        snapshots_json(work.snapshots),
    ]
