"""`sourced commands`: which there are, what each takes, and sending one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from sourced_cli._durations import duration_of, moment_of, shown
from sourced_cli._exit import Code, CommandError
from sourced_cli._fields import RefusedError, assemble, field_rows, literal, split_pairs
from sourced_cli._messages import object_of
from sourced_cli._options import AppOption, JsonOption, VerboseOption, examples
from sourced_cli._render import table
from sourced_cli._report import Report, reporting
from sourced_cli._target import find_app, warn_if_in_memory
from sourced_cli._text import safe

if TYPE_CHECKING:
    from sourced import App, Command, Receipt
    from sourced._records import NewMessage

__all__ = ["cli"]

T = TypeVar("T")

TypeArgument = Annotated[str, typer.Argument(metavar="TYPE", help="The command's type.")]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="STREAM", help="The stream.", show_default=False)
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-F",
        metavar="NAME=VALUE",
        help="A field; address.city=… inside another, again for a list's next item.",
        show_default=False,
    ),
]
PayloadOption = Annotated[
    str | None,
    typer.Option(
        "--payload",
        metavar="JSON",
        help="The payload as a JSON object; --field adds to it.",
        show_default=False,
    ),
]
MetaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--meta",
        metavar="KEY=VALUE",
        help="A key of the envelope; again for more.",
        show_default=False,
    ),
]
IdOption = Annotated[
    str | None,
    typer.Option(
        "--id",
        metavar="UUID",
        help="The message's id: sent twice, it is recorded once.",
        show_default=False,
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="MOMENT",
        help="Not before then, such as 2026-03-01T09:00Z.",
        show_default=False,
    ),
]
AfterOption = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="TIME",
        help="Not before so long from now, such as 90s or 1h30m.",
        show_default=False,
    ),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Wait until all it causes is handled; exit 8 if that takes longer.",
        show_default=False,
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check it and say what would be sent; send nothing.", show_default=False
    ),
]

cli: typer.Typer = typer.Typer(
    name="commands",
    help="List commands, see what they take, send one.",
    invoke_without_command=True,
)


@cli.callback()
def root(context: typer.Context) -> None:
    """Show the help if nothing was asked for."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cli.command(
    "list",
    short_help="List the commands.",
    epilog=examples("sourced commands list", "sourced commands list --json"),
)
def list_(
    app: AppOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """List the commands that the app's groups handle, with their fields."""
    with reporting("commands.list", as_json=as_json, verbose=verbose) as report:
        known = _commands(find_app(app, report).app)
        data = [_described(type_, known[type_]) for type_ in sorted(known)]
        rows = [(each["type"], each["group"], _signature(each["schema"])) for each in data]
        text = (
            table(("TYPE", "GROUP", "FIELDS"), rows, paint=report.paint) if rows else "no commands"
        )
        report.answer(data, text)


@cli.command(
    "info",
    short_help="Show what a command takes.",
    epilog=examples("sourced commands info carts.add_item"),
)
def info(
    type: TypeArgument,
    app: AppOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what one command takes, and a command line that sends it."""
    with reporting("commands.info", as_json=as_json, verbose=verbose) as report:
        found = _command(find_app(app, report).app, type)
        data = _described(type, found)
        schema = data["schema"]
        lines = [f"{report.paint(safe(type), 'bold')}  handled by {safe(data['group'])}"]
        if data["description"]:
            lines += ["", safe(data["description"])]
        if rows := field_rows(schema):
            lines += ["", table(("FIELD", "TYPE", "NEEDED", "RULES"), rows, paint=report.paint)]
        lines += ["", _example(type, schema)]
        report.answer(data, "\n".join(lines))


@cli.command(
    "send",
    short_help="Send a command.",
    epilog=examples(
        "sourced commands send carts.add_item --to cart-1 -F product_id=p1 -F price=1000",
        "sourced commands send carts.place --to cart-1 --wait 10",
        "sourced commands send carts.remind --to cart-1 --after 24h --meta user_id=7",
        """sourced commands send carts.add_item --to cart-1 --payload '{"product_id": "p1"}'""",
    ),
)
def send(  # noqa: PLR0913, PLR0917 - an argument for each option
    type: TypeArgument,
    to: ToOption = None,
    field: FieldOption = None,
    payload: PayloadOption = None,
    meta: MetaOption = None,
    id: IdOption = None,
    at: AtOption = None,
    after: AfterOption = None,
    wait: WaitOption = None,
    dry_run: DryRunOption = False,
    app: AppOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Send a command for the workers to handle; if anything is wrong with it, nothing is sent.

    Everything that is wrong is told at once.
    """
    with reporting("commands.send", as_json=as_json, verbose=verbose) as report:
        shop = find_app(app, report).app
        given = _Given(
            to=to,
            fields=field or [],
            payload=payload,
            meta=meta or [],
            id=id,
            at=at,
            after=after,
            wait=wait,
        )
        sending = _checked(given, _command(shop, type).message)
        warn_if_in_memory(shop.store, report)
        if dry_run:
            report.answer(_would(sending), f"would send {_sentence(sending)}")
        else:
            _send(shop, sending, wait, report)


# --- what there is --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    """A command class and the groups that handle it, its decider first."""

    message: type[Command]
    groups: tuple[str, ...]


def _commands(app: App) -> dict[str, _Known]:
    from sourced import Command
    from sourced._messages import type_of

    groups: dict[type[Command], list[str]] = {}
    for entry in app.reactors:
        for message in entry.handles:
            if issubclass(message, Command) and hasattr(message, "__message__"):
                names = groups.setdefault(message, [])
                names.insert(0 if message in entry.decides else len(names), entry.group)
    return {type_of(message): _Known(message, tuple(names)) for message, names in groups.items()}


def _command(app: App, type: str) -> _Known:
    """Return a command by its type.

    Raises:
        UnknownTypeError: no command has it; suggests the nearest.
        CommandError: it is known, and nobody handles it.
    """
    from difflib import get_close_matches

    from sourced import Command, Message
    from sourced._messages import find_type, type_of
    from sourced.errors import UnknownTypeError

    known = _commands(app)
    try:
        found = find_type(type, Message)
    except UnknownTypeError:
        near = get_close_matches(type, known, n=1)
        raise UnknownTypeError(type, "the app's commands", near[0] if near else None) from None
    if not issubclass(found, Command):
        raise CommandError(
            Code.REFUSED,
            f"{type!r} is an event: a fact that nobody can ask for",
            name="command.is-event",
            subject=type,
            hint="send the command that leads to it: sourced commands list",
        )
    if type_of(found) not in known:
        raise CommandError(
            Code.REFUSED,
            f"no registered group handles {type!r}: it would never be handled",
            name="command.unhandled",
            subject=type,
            hint="register the actor that decides it: app.register(…)",
        )
    return known[type_of(found)]


def _described(type: str, known: _Known) -> dict[str, Any]:
    doc = known.message.__doc__ or ""
    return {
        "type": type,
        "group": ", ".join(known.groups),
        "description": "" if doc.startswith(f"{known.message.__name__}(") else doc.strip(),
        "schema": known.message.json_schema(),
    }


def _signature(schema: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}: {kind}" + ("" if need == "required" else "?")
        for name, kind, need, _ in field_rows(schema)
    )


def _example(type: str, schema: Mapping[str, Any]) -> str:
    needed = [name for name, _, need, _ in field_rows(schema) if need == "required"]
    fields = "".join(f" --field {safe(name)}=…" for name in needed)
    return f"sourced commands send {safe(type)} --to STREAM{fields}"


# --- sending --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What stands on the command line."""

    to: str | None
    fields: list[str]
    payload: str | None
    meta: list[str]
    id: str | None
    at: str | None
    after: str | None
    wait: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """What will be sent."""

    message: Command
    record: NewMessage
    meta: Mapping[str, Any]
    id: UUID | None
    at: datetime | None
    after: timedelta | None


class _ProblemsError(CommandError):
    """Everything that is wrong with what stands on the command line, by option or field."""

    def __init__(self, type: str, problems: Mapping[str, list[str]]) -> None:
        count = sum(len(texts) for texts in problems.values())
        counted = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(Code.USAGE, f"{type}: {counted}; nothing was sent", name="command.invalid")
        self.problems = dict(problems)


def _checked(given: _Given, message: type[Command]) -> _Sending:
    """Return what the command line asks for.

    Raises:
        _ProblemsError: names everything that is wrong.
    """
    from sourced._messages import UnknownMessage, encode, type_of, with_meta
    from sourced._meta import new_meta

    wrong = _Wrong()
    values = _values(given, message.json_schema(), wrong)
    user = _user_keys(given, wrong)
    _check_options(given, wrong)
    identity = wrong.read("--id", given.id, _identity)
    at = wrong.read("--at", given.at, moment_of)
    after = wrong.read("--after", given.after, duration_of)
    command = wrong.tried(lambda: message.parse(values))
    probe = command or UnknownMessage({}, new_meta(type_of(message)))
    record = wrong.tried(lambda: encode(with_meta(probe, user=user, id=identity), given.to or "-"))
    if wrong.problems or command is None or record is None:
        raise _ProblemsError(message.__name__, wrong.problems)
    return _Sending(message=command, record=record, meta=user, id=identity, at=at, after=after)


class _Wrong:
    """Gathers what is wrong, by option or field."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}

    def note(self, where: str, text: str) -> None:
        self.problems.setdefault(where, []).append(text)

    def read(self, option: str, text: str | None, reader: Callable[[str], T]) -> T | None:
        """Return what an option says, or None after noting what is wrong with it."""
        try:
            return None if text is None else reader(text)
        except ValueError as error:
            self.note(option, str(error))
            return None

    def tried(self, make: Callable[[], T]) -> T | None:
        """Return what is made, or None after noting everything that is wrong with it."""
        from sourced.errors import PayloadError

        try:
            return make()
        except PayloadError as error:
            for path, texts in error.problems.items():
                for text in texts:
                    self.note(path, text)
            return None


def _values(given: _Given, schema: Mapping[str, Any], wrong: _Wrong) -> dict[str, Any]:
    """Return the payload: --payload, and what --field adds to it."""
    base = wrong.read("--payload", given.payload, _object) or {}
    fields, unreadable = split_pairs(given.fields, "--field")
    values, clashes = assemble(schema, fields, base)
    for text in [*unreadable, *clashes]:
        wrong.note("command line", text)
    return values


def _user_keys(given: _Given, wrong: _Wrong) -> dict[str, Any]:
    """Return what --meta says."""
    pairs, unreadable = split_pairs(given.meta, "--meta")
    for text in unreadable:
        wrong.note("command line", text)
    keys = {}
    for name, text in pairs:
        try:
            keys[name] = literal(text)
        except RefusedError as error:
            wrong.note("command line", f"--meta {name}: {error}")
    return keys


def _check_options(given: _Given, wrong: _Wrong) -> None:
    if not given.to:
        wrong.note("--to", "is missing; say which stream")
    if given.at is not None and given.after is not None:
        wrong.note("--at", "and --after cannot both be given")
    if given.wait is not None and (given.at is not None or given.after is not None):
        wrong.note("--wait", "has nothing to wait for while the command waits for its time")


def _object(text: str) -> dict[str, Any]:
    value = literal(text)
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object: {safe(text, cap=80)}")  # noqa: TRY004 - what was typed is wrong
    return value


def _identity(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"{text!r} is no UUID") from None


def _sentence(sending: _Sending) -> str:
    record = sending.record
    return f"{safe(record.type)} to {safe(record.stream_id)}: {safe(record.payload)}"


def _send(app: App, sending: _Sending, wait: float | None, report: Report) -> None:
    receipt = app.dispatch(
        sending.message,
        to=sending.record.stream_id,
        meta=sending.meta,
        id=sending.id,
        at=sending.at,
        after=sending.after,
    )
    _tell(receipt, sending, report)
    if wait is not None:
        _wait(app, receipt, wait, report)


def _would(sending: _Sending) -> dict[str, Any]:
    return {
        "sent": False,
        "dry_run": True,
        "type": sending.record.type,
        "stream_id": sending.record.stream_id,
        "payload": object_of(sending.record.payload),
        "meta": sending.meta,
        "id": sending.id,
        "at": sending.at,
        "after": sending.after,
    }


def _tell(receipt: Receipt, sending: _Sending, report: Report) -> None:
    data = {
        "sent": not receipt.repeated,
        "repeated": receipt.repeated,
        "message_id": receipt.message_id,
        "correlation_id": receipt.correlation_id,
        "stream_id": receipt.stream_id,
        "seq": receipt.seq,
        "position": receipt.position,
        "due_at": receipt.due_at,
    }
    name, identity = safe(sending.record.type), receipt.message_id
    if receipt.repeated:
        text = f"{name} was sent before"
    elif receipt.due_at is not None:
        text = f"scheduled {name} for {receipt.due_at.isoformat()}"
    else:
        text = f"sent {name}"
    place = safe(receipt.stream_id) + (f" #{receipt.seq}" if receipt.seq is not None else "")
    report.answer(data, f"{text} to {place}  {identity}")
    if receipt.due_at is not None and not receipt.repeated:
        report.note(f'undo: app.cancel(UUID("{identity}"))')
    else:
        report.note(f"see what comes of it: sourced messages trace {identity}")


def _wait(app: App, receipt: Receipt, seconds: float, report: Report) -> None:
    from sourced.errors import GroupStoppedError, StreamParkedError, WaitTimeoutError

    began = app.clock.monotonic()
    try:
        app.wait(receipt, timeout=seconds)
    except WaitTimeoutError as error:
        for line in error.pending:
            report.fail_check("wait.pending", line)
    except (GroupStoppedError, StreamParkedError) as error:
        report.fail_check("wait.blocked", str(error), subject=error.group)
    else:
        report.note(f"all it caused is handled, after {shown(app.clock.monotonic() - began)}")
