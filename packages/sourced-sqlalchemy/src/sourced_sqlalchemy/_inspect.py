"""The read API over the tables."""


class SQLAlchemyInspect:
    def __init__(self, reading): ...
