"""Projects on disk, and the command line run on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sourced_cli._main import run

SHOP = '''
from dataclasses import dataclass, field
from typing import Annotated

from sourced import Actor, App, Command, Dispatch, Event, Reactor, command, event, on, react
from sourced.types import Ge

class AddItem(Command, type="carts.add_item"):
    """Put some of a product into the cart."""
    product_id: str
    price: Annotated[int, Ge(0)]
    quantity: int = 1
    tags: list[str] = field(default_factory=list)

class Place(Command, type="carts.place"):
    pass

class ItemAdded(Event, type="carts.item_added"):
    product_id: str
    price: int

class Placed(Event, type="carts.placed"):
    total: int

class Mail(Command, type="mail.send"):
    text: str

class Orphan(Command, type="orphans.command"):
    pass

@dataclass
class CartState:
    total: int = 0

class Cart(Actor[CartState]):
    @command
    def add(self, cart, cmd: AddItem):
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price)

    @command
    def place(self, cart, cmd: Place):
        yield Placed(total=cart.total)

    @event
    def added(self, cart, event: ItemAdded):
        cart.total += event.price

    @react
    def mail(self, event: Placed):
        yield Dispatch(Mail(text=f"{event.total} please"), to="mail-1")

class Mailer(Reactor, group="Mailer"):
    @on
    def send(self, message: Mail):
        if message.text.startswith("0"):
            raise ConnectionError("no \\x1b[31mroute\\x1b[0m to host")

app = App("sqlite:///shop.db").register(Cart, Mailer)
'''


@dataclass
class Result:
    """How an invocation ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout, which holds nothing else."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The documents on stdout, one on each line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def codes(self) -> list[str]:
        """What is wrong, for programs."""
        return [each["code"] for each in self.json["diagnostics"]]


@dataclass
class Project:
    """A folder with files of a user's, in which commands are run."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, **files: str) -> Project:
        """Write Python files, by name without `.py`; `__` separates folders."""
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self

    def configure(self, text: str) -> Project:
        """Write the pyproject.toml."""
        (self.folder / "pyproject.toml").write_text(text, encoding="utf-8")
        return self

    def sourced(self, *arguments: str) -> Result:
        """Run the command line in this process."""
        self.capsys.readouterr()
        code = run(arguments)
        captured = self.capsys.readouterr()
        forget_modules(self.folder)
        return Result(code, captured.out, captured.err)

    def installed(self) -> Project:
        """Make the tables."""
        result = self.sourced("install")
        assert result.code == 0, result
        return self

    def send(self, type: str, to: str, *fields: str) -> str:
        """Send a command and return its message's id."""
        options = [option for text in fields for option in ("--field", text)]
        result = self.sourced("commands", "send", type, "--to", to, *options, "--json")
        assert result.code == 0, result
        identity: str = result.json["data"]["message_id"]
        return identity

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command line in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "sourced_cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )


def forget_modules(folder: Path) -> None:
    """Let the next invocation import the user's modules anew, as another process would."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).is_relative_to(folder):
            del sys.modules[name]
