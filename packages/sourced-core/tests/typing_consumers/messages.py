"""Messages as users define and use them; type checkers accept all of it."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import Annotated, Any, assert_type

from sourced import Command, Draft, Event, Message, Meta
from sourced.types import Ge, LaxDecimal, LaxInt, MinLen, Pattern

CorporateEmail = Annotated[str, Pattern(r"@apple\.com$")]


class Invite(Command, type="typing.invite", was=("typing.ask",), extra="ignore"):
    email: CorporateEmail
    seats: Annotated[LaxInt, Ge(1)] = 1
    price: LaxDecimal = Decimal(0)
    tags: list[str] = field(default_factory=list)
    type: str = "guest"


class InviteAll(Invite):
    names: Annotated[list[str], MinLen(1)]


class Invited(Event):
    email: str


class PublicCommand(Command):
    pass


invite = Invite(email="tim@apple.com", seats=2)
assert_type(invite.email, str)
assert_type(invite.seats, int)
assert_type(invite.price, Decimal)
assert_type(invite.type, str)
assert_type(invite.meta, Meta)
assert_type(invite.payload, dict[str, Any])
assert_type(InviteAll(email="a", names=["b"]).seats, int)

assert_type(Invite.parse({"email": "a"}), Invite)
assert_type(Invite.draft({}), Draft[Invite])
assert_type(Invite.draft({}).command, Invite)
assert_type(Command.from_type("typing.invite", {}), Command)
assert_type(PublicCommand.from_type("typing.invite", {}), PublicCommand)
assert_type(Invite.json_schema(), dict[str, Any])


def name_of(message: Message) -> str:
    return f"{message.meta.type} {message.meta['user_id']} {message.meta.get('x', 1)}"


name_of(Invited(email="a"))
