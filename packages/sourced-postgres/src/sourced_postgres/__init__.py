"""The store contract on PostgreSQL, through psycopg."""

from sourced_postgres._options import Options
from sourced_postgres._store import PostgresStore, open_store

__all__ = ["Options", "PostgresStore", "open_store"]
