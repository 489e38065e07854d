"""The column types: moments as microseconds, ids as sixteen bytes, and text that can be stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Integer, LargeBinary, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from sourced._clock import from_micros, to_micros
from sourced._json_text import text_problem

__all__ = ["KEY", "Identifier", "Moment", "ReadableText", "SoughtText"]

KEY: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
"""A surrogate key; SQLite makes a key its row id only if its type is spelled INTEGER."""


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as whole microseconds since 1970: exact, sortable, every year."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the dialect is all the same
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the dialect is all the same
        return None if value is None else from_micros(value)


class Identifier(TypeDecorator[UUID]):
    """A UUID, kept as its sixteen bytes: half the index of its text, and in the same order."""

    impl = LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002 - the dialect is all the same
        return None if value is None else value.bytes

    def process_result_value(self, value: Any | None, dialect: Dialect) -> UUID | None:  # noqa: ARG002 - the dialect is all the same
        return None if value is None else UUID(bytes=bytes(value))


class ReadableText(TypeDecorator[str]):
    """Text written for people, such as an error: what UTF-8 cannot say becomes a question mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the dialect is all the same
        return None if value is None else value.encode("utf-8", "replace").decode()


class SoughtText(TypeDecorator[str]):
    """A name that is looked for: one that could never be stored is one that nothing has."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the dialect is all the same
        return value if value is None or text_problem(value) is None else "\0"
