"""The workers: threads that handle what is ready until they are told to stop."""

from sourced.runtime._address import check_address
from sourced.runtime._supervisor import GRACE, Ended, Supervisor
from sourced.runtime._workers import Workers

__all__ = ["GRACE", "Ended", "Supervisor", "Workers", "check_address"]
