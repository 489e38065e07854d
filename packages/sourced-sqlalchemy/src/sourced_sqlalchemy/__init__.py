"""The store contract on SQLite, through SQLAlchemy."""

from sourced_sqlalchemy._options import Options
from sourced_sqlalchemy._store import SQLAlchemyStore, open_store
from sourced_sqlalchemy._tables import Tables, metadata, tables_of

__all__ = ["Options", "SQLAlchemyStore", "Tables", "metadata", "open_store", "tables_of"]
