"""Imports what the user names, and tells apart the ways in which that fails.

No such module, no such attribute, and a module that is there but failed to import are three
different errors: the first two are mended on the command line, the third in the user's code, so it
comes with the user's own traceback and without the frames of ours that led there.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sourced_cli._exit import Code, CommandError

if TYPE_CHECKING:
    from sourced import App

__all__ = ["apps_in", "import_app", "import_module", "users_traceback"]

_HERE = Path(__file__).parent
_SKIPPED = frozenset({"node_modules", "build", "dist", "tests", "venv"})
DEPTH = 3


def import_app(target: str, roots: Iterable[Path]) -> tuple[App, str]:
    """Return the app that `module:attr`, `module:factory` or `module` names, and its full name.

    Args:
        target: what the user wrote.
        roots: directories from which modules are imported, the first one first.

    Raises:
        CommandError: one for each way in which it fails.
    """
    name, _, path = target.partition(":")
    module = import_module(name.strip(), roots)
    if not path.strip():
        return _only_app(module)
    return _app_of(_attribute(module, path.strip()), target), target


def import_module(name: str, roots: Iterable[Path]) -> ModuleType:
    """Import a module from one of the roots, or from what is installed.

    Raises:
        CommandError: there is none, or it failed to import.
    """
    found = list(roots)
    if not all(part.isidentifier() for part in name.split(".")):
        raise CommandError(
            Code.APP,
            f"{name!r} is no module name",
            name="app.no-such-module",
            subject=name,
            hint="write it as in an import: --app shop.events:app",
        )
    _search_in(found)
    try:
        with redirect_stdout(sys.stderr):  # an import's chatter is not the command's answer
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        if isinstance(error, ModuleNotFoundError) and not _users_frames(error):
            raise _no_such_module(name, found, error) from None
        raise _failed(f"{name!r} failed to import", error, "app.import-failed") from error


def apps_in(module: ModuleType) -> dict[str, App]:
    """Return the apps among a module's names, each once, by its first name."""
    from sourced import App

    found: dict[int, tuple[str, App]] = {}
    for name, value in vars(module).items():
        if isinstance(value, App):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def users_traceback(error: BaseException) -> str:
    """Return a traceback without our frames and the import machinery's."""
    shown = traceback.TracebackException.from_exception(error)
    for each in _chain(shown):
        each.stack = traceback.StackSummary.from_list(
            [frame for frame in each.stack if not _is_ours(frame.filename)]
        )
    return "".join(shown.format()).rstrip()


# --- attributes -----------------------------------------------------------------------------------


def _attribute(module: ModuleType, path: str) -> Any:
    value: Any = module
    for name in path.split("."):
        if not hasattr(value, name):
            raise _no_such_attribute(module, path, name, value)
        value = getattr(value, name)
    return value


def _app_of(value: Any, target: str) -> App:
    from sourced import App

    if not isinstance(value, App) and callable(value):
        value = _made_by(value, target)
    if isinstance(value, App):
        return value
    raise CommandError(
        Code.APP,
        f"{target!r} is {_kind(value)}, not an App",
        name="app.not-an-app",
        subject=target,
        hint='name an App, such as app = App("sqlite:///shop.db"), or a function that returns one',
    )


def _made_by(factory: Any, target: str) -> Any:
    if not _takes_nothing(factory):
        raise CommandError(
            Code.APP,
            f"{target!r} needs arguments, so it cannot be called to make the app",
            name="app.not-an-app",
            subject=target,
            hint="name an App, or a function without arguments that returns one",
        )
    try:
        with redirect_stdout(sys.stderr):
            made = factory()
            return _awaited(made) if inspect.isawaitable(made) else made
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        raise _failed(f"{target!r} failed to make the app", error, "app.factory-failed") from error


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


def _takes_nothing(factory: Any) -> bool:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return False
    except ValueError:  # no signature, as with some built-ins: calling it will tell
        return True
    return True


def _only_app(module: ModuleType) -> tuple[App, str]:
    found = apps_in(module)
    name = module.__name__
    if len(found) == 1:
        attribute, app = next(iter(found.items()))
        return app, f"{name}:{attribute}"
    raise CommandError(
        Code.APP,
        f"module {name!r} has {'no App' if not found else 'several Apps'}",
        name="app.ambiguous" if found else "app.no-such-attribute",
        subject=name,
        hint="say which: "
        + (", ".join(f"--app {name}:{a}" for a in found) or f"--app {name}:NAME"),
    )


# --- errors ---------------------------------------------------------------------------------------


def _no_such_module(name: str, roots: list[Path], error: Exception) -> CommandError:
    near = get_close_matches(name, sorted(set(_module_names(roots))), n=1)
    where = ", ".join(str(root) for root in roots)
    return CommandError(
        Code.APP,
        f"no such module: {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        name="app.no-such-module",
        subject=name,
        hint=f"looked in {where} and in what is installed ({error})",
    )


def _no_such_attribute(module: ModuleType, path: str, name: str, value: Any) -> CommandError:
    names = [each for each in dir(value) if not each.startswith("_")]
    near = get_close_matches(name, names, n=1)
    hint = ""
    if apps := apps_in(module):
        hint = f"its apps: {', '.join(f'{module.__name__}:{each}' for each in apps)}"
    return CommandError(
        Code.APP,
        f"module {module.__name__!r} has no attribute {path!r}"
        + (f"; did you mean {near[0]!r}?" if near else ""),
        name="app.no-such-attribute",
        subject=f"{module.__name__}:{path}",
        hint=hint,
    )


def _failed(what: str, error: BaseException, name: str) -> CommandError:
    said = str(error)
    return CommandError(
        Code.APP,
        f"{what}: {type(error).__name__}" + (f": {said}" if said else ""),
        name=name,
        trace=users_traceback(error),
        hint="mend what the traceback shows; the module is there, its code raised",
    )


def _kind(value: Any) -> str:
    from sourced._naming import with_article

    return "None" if value is None else with_article(type(value).__name__)


# --- frames and files -----------------------------------------------------------------------------


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    return [f for f in traceback.extract_tb(error.__traceback__) if not _is_ours(f.filename)]


def _is_ours(filename: str) -> bool:
    if filename.startswith("<frozen ") or filename == importlib.__file__:
        return True
    path = Path(filename)
    return path.is_relative_to(_HERE) or _is_in_kernel(path)


def _is_in_kernel(path: Path) -> bool:
    kernel = getattr(sys.modules.get("sourced"), "__file__", None)
    return kernel is not None and path.is_relative_to(Path(kernel).parent)


def _chain(
    shown: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    while shown is not None:
        yield shown
        for inner in getattr(shown, "exceptions", None) or ():
            yield from _chain(inner)
        shown = shown.__cause__ or shown.__context__


def _search_in(roots: list[Path]) -> None:
    for root in reversed(roots):
        text = str(root)
        if text in sys.path:
            sys.path.remove(text)
        sys.path.insert(0, text)
    importlib.invalidate_caches()


def _module_names(roots: Iterable[Path]) -> Iterator[str]:
    for root in roots:
        yield from _names_below(root, "", DEPTH)


def _names_below(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = prefix + entry.stem
        if entry.suffix == ".py" and entry.stem.isidentifier():
            if entry.stem != "__init__":
                yield name
        elif depth and entry.is_dir() and entry.name.isidentifier() and entry.name not in _SKIPPED:
            yield name
            yield from _names_below(entry, f"{name}.", depth - 1)
