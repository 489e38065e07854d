"""What is collected where not every package is installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("psycopg") else ["test_migrating.py"]
