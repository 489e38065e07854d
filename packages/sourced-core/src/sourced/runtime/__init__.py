"""The workers: threads that handle what is ready until they are told to stop."""

from sourced.runtime._address import check_address
from sourced.runtime._supervisor import GRACE, Ended, Supervisor

__all__ = ["GRACE", "Ended", "Supervisor", "check_address"]
