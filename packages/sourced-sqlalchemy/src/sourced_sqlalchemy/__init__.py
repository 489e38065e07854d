"""The store contract on SQLite, through SQLAlchemy."""
