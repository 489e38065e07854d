"""The store contract on PostgreSQL, through psycopg."""

from sourced_postgres._options import Options
from sourced_postgres._schema import Migration
from sourced_postgres._store import PostgresStore, open_store

__all__ = ["Migration", "Options", "PostgresStore", "open_store"]
