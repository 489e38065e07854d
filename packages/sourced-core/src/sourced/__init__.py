"""Event sourcing as a programming model for ordinary Python apps.

An app's whole behaviour is commands (intents), events (facts) and reactions (what follows from a
fact). Actors decide and evolve, projectors build read models, and workers handle the messages of
one stream in order, different streams in parallel.
"""

from sourced._actor import Actor, Events
from sourced._app import App, MessagePage, default_app
from sourced._batch import Batch, History
from sourced._clock import Clock, SystemClock
from sourced._errors_policy import (
    Decision,
    ErrorPolicy,
    Failure,
    Park,
    Policy,
    Retry,
    Skip,
    Stop,
    exponential,
)
from sourced._handlers import command, event, on, react
from sourced._ids import new_id, new_stream
from sourced._messages import Command, Draft, Event, Message, Meta, UnknownMessage
from sourced._outcomes import (
    Ack,
    AfterCommit,
    Append,
    Dispatch,
    Fail,
    Outcome,
    Outcomes,
    Schedule,
    Sync,
    Yielded,
)
from sourced._projector import EventSourcedProjector, StateStoredProjector
from sourced._reactor import Reactor, ReactorProtocol
from sourced._receipt import Receipt
from sourced._settings import Settings
from sourced._store import BEGINNING, NOW, Store
from sourced._tally import Tally
from sourced._trace import Trace, TraceNode
from sourced._transaction import AppTransaction
from sourced._unit import Unit, UnitResult
from sourced.errors import SourcedError

__all__ = [
    "BEGINNING",
    "NOW",
    "Ack",
    "Actor",
    "AfterCommit",
    "App",
    "AppTransaction",
    "Append",
    "Batch",
    "Clock",
    "Command",
    "Decision",
    "Dispatch",
    "Draft",
    "ErrorPolicy",
    "Event",
    "EventSourcedProjector",
    "Events",
    "Fail",
    "Failure",
    "History",
    "Message",
    "MessagePage",
    "Meta",
    "Outcome",
    "Outcomes",
    "Park",
    "Policy",
    "Reactor",
    "ReactorProtocol",
    "Receipt",
    "Retry",
    "Schedule",
    "Settings",
    "Skip",
    "SourcedError",
    "StateStoredProjector",
    "Stop",
    "Store",
    "Sync",
    "SystemClock",
    "Tally",
    "Trace",
    "TraceNode",
    "Unit",
    "UnitResult",
    "UnknownMessage",
    "Yielded",
    "command",
    "default_app",
    "event",
    "exponential",
    "new_id",
    "new_stream",
    "on",
    "react",
]
