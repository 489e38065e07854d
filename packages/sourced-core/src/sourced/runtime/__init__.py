"""The workers: threads and processes that handle what is ready until they are told to stop."""

from sourced.runtime._address import check_address
from sourced.runtime._lifeline import Lifeline
from sourced.runtime._obituaries import Refusal
from sourced.runtime._processes import Ending, Processes, ProcessesStatus
from sourced.runtime._supervisor import GRACE, Ended, Supervisor
from sourced.runtime._watch import Watch
from sourced.runtime._workers import Workers

__all__ = [
    "GRACE",
    "Ended",
    "Ending",
    "Lifeline",
    "Processes",
    "ProcessesStatus",
    "Refusal",
    "Supervisor",
    "Watch",
    "Workers",
    "check_address",
]
