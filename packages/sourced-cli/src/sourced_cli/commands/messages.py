"""`sourced messages`: what is in the log, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sourced_cli._causation import draw, tree_of
from sourced_cli._exit import Code, CommandError
from sourced_cli._messages import data_of, line_of, page_of
from sourced_cli._options import (
    AppOption,
    DsnOption,
    JsonOption,
    VerboseOption,
    examples,
    read_with,
)
from sourced_cli._render import columns_of
from sourced_cli._report import Report, reporting
from sourced_cli._tail import LogTail, Page, StreamTail, Tail, follow, read_to_end
from sourced_cli._target import find_store

if TYPE_CHECKING:
    from sourced import Store

__all__ = ["cli"]

SHOWN = 20


def _identity(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no message id, such as 01a20a46-c71e-7000-a431-e51b7f8d3985"
        ) from None


IdArgument = Annotated[UUID, typer.Argument(help="The message's id.", **read_with(_identity, "ID"))]
FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what comes.", show_default=False)
]
TypeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--type", metavar="TYPE", help="Only this type; again for more.", show_default=False
    ),
]
StreamOption = Annotated[
    str | None,
    typer.Option("--stream", metavar="ID", help="Only this stream.", show_default=False),
]
CountOption = Annotated[
    int | None,
    typer.Option(
        "--count",
        "-n",
        min=0,
        help="How many: the last ones, or the first ones after --after.",
        show_default=f"{SHOWN}, or all with --after",
    ),
]
AfterOption = Annotated[
    int | None,
    typer.Option(
        "--after",
        metavar="POSITION",
        min=0,
        help="Begin behind this position of the log; with --stream, this seq.",
        show_default=False,
    ),
]

cli: typer.Typer = typer.Typer(
    name="messages",
    help="Look at the log, at one message, at what came of it.",
    invoke_without_command=True,
)


@cli.callback()
def root(context: typer.Context) -> None:
    """Show the help if nothing was asked for."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cli.command(
    "tail",
    short_help="Show the end of the log, and what comes.",
    epilog=examples(
        "sourced messages tail -f",
        "sourced messages tail -n 100 --type carts.item_added --type carts.placed",
        "sourced messages tail --stream cart-1",
        "sourced messages tail --after 1200 --json | jq -r .data.type",
    ),
)
def tail(  # noqa: PLR0913, PLR0917 - an argument for each option
    app: AppOption = None,
    dsn: DsnOption = None,
    following: FollowOption = False,
    types: TypeOption = None,
    stream: StreamOption = None,
    count: CountOption = None,
    after: AfterOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the last messages of the log in order, and with -f what comes; none is skipped.

    Where a writer holds back what comes next, the tail waits for it and says for whom.
    With --json each message is a document on a line of its own.
    """
    with reporting(
        "messages.tail", as_json=as_json, verbose=verbose, streams=True, endless=following
    ) as report:
        store = find_store(app, dsn, report).store
        last = SHOWN if count is None else count
        names = sorted(set(types)) if types else None
        source: Tail
        if stream is None:
            source = LogTail(store, types=names, after=after, last=last)
        else:
            source = _stream_tail(store, stream, names, after, last, following=following)
        most = count if after is not None and not following else None
        pages = follow(store, source) if following else read_to_end(source)
        _show(pages, report, most)


def _stream_tail(
    store: Store,
    stream: str,
    names: list[str] | None,
    after: int | None,
    last: int,
    *,
    following: bool,
) -> StreamTail:
    source = StreamTail(store, stream, types=names, after=after, last=last)
    if not following and source.head == 0:
        raise CommandError(
            Code.NOT_FOUND,
            f"no stream {stream!r}",
            name="stream.not-found",
            subject=stream,
            hint="list the last messages of all: sourced messages tail",
        )
    return source


def _show(pages: Iterator[Page], report: Report, most: int | None) -> None:
    columns = columns_of(report.out)
    told: tuple[str, ...] = ()
    left = most
    for page in pages:
        for message in page.messages[:left]:
            report.stream(data_of(message), line_of(message, report.paint, columns))
        if left is not None:
            left -= len(page.messages[:left])
            if left == 0:
                return
        if page.waiting_for and page.waiting_for != told:
            report.note(f"what comes next is held back by {', '.join(page.waiting_for)}")
        told = page.waiting_for
        if not page.messages:
            report.pause(0)  # no write tells an idle tail that its reader has gone


@cli.command(
    "show",
    short_help="Show all of one message.",
    epilog=examples(
        "sourced messages show 01a20a46-c71e-7000-a431-e51b7f8d3985",
        "sourced messages show 01a20a46-c71e-7000-a431-e51b7f8d3985 --json",
    ),
)
def show(
    message_id: IdArgument,
    app: AppOption = None,
    dsn: DsnOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show all of one message, as it is stored."""
    with reporting("messages.show", as_json=as_json, verbose=verbose) as report:
        store = find_store(app, dsn, report).store
        message = store.read_one(message_id)
        if message is None:
            raise _not_found(message_id)
        report.answer(data_of(message), page_of(message, report.paint))


@cli.command(
    "trace",
    short_help="Draw what came of a message, and what is open.",
    epilog=examples(
        "sourced messages trace 01a20a46-c71e-7000-a431-e51b7f8d3985",
        "sourced messages trace 01a20a46-c71e-7000-a431-e51b7f8d3985 --json",
    ),
)
def trace(
    message_id: IdArgument,
    app: AppOption = None,
    dsn: DsnOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Draw everything that goes back to the same beginning as a message.

    A branch that is still open names the group that has not handled it, and why.
    """
    with reporting("messages.trace", as_json=as_json, verbose=verbose) as report:
        store = find_store(app, dsn, report).store
        tree = tree_of(store, message_id)
        if tree is None:
            raise _not_found(message_id)
        nodes = [node.data() for node in tree.nodes()]
        data = {
            "message_id": message_id,
            "correlation_id": nodes[0]["correlation_id"],
            "messages": nodes,
            "open_branches": sum(len(node["open"]) for node in nodes),
            "is_cut": tree.is_cut,
        }
        report.answer(data, draw(tree, report.paint))


def _not_found(message_id: UUID) -> CommandError:
    return CommandError(
        Code.NOT_FOUND,
        f"no message {message_id}",
        name="message.not-found",
        subject=str(message_id),
        hint="list the last ones: sourced messages tail",
    )
