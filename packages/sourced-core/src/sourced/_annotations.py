"""What the names in a class's annotations mean, wherever the class was defined."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any, get_type_hints

__all__ = ["Scope", "UnresolvedNameError", "is_type_checking_only", "scope_of"]


class UnresolvedNameError(Exception):
    """An annotation uses a name that means nothing, or nothing yet; internal.

    Attributes:
        name: the name.
        type_checking_only: the module imports it for type checkers alone, so it never will.
    """

    def __init__(self, name: str, *, type_checking_only: bool) -> None:
        super().__init__(name, type_checking_only)
        self.name = name
        self.type_checking_only = type_checking_only

    def __str__(self) -> str:
        if self.type_checking_only:
            return (
                f"{self.name!r} exists only under TYPE_CHECKING, but is needed at run time; "
                "import it outside of that block"
            )
        return f"the name {self.name!r} is not defined where the class is"


@dataclass(frozen=True, slots=True)
class Scope:
    """The names around a definition: those of the module, and of enclosing functions and classes.

    Enclosing frames are kept, not copied, so that a name defined later in the same function is
    found when it is needed. At module level there are none.

    Attributes:
        module: the module's namespace.
        frames: the enclosing frames, innermost first.
    """

    module: dict[str, Any]
    frames: tuple[FrameType, ...]

    def resolve(self, annotation: Any, owner: type | None = None) -> Any:
        """Return what an annotation of `owner` stands for, with texts evaluated at every depth.

        Raises:
            UnresolvedNameError: a name that is not, or not yet, defined.
            Exception: whatever else an annotation that is no type raises.
        """
        if type(annotation) is type:
            return annotation
        module = self.module if owner is None else _namespace(owner.__module__, self.module)
        frames = self.frames if module is self.module else ()
        holder = _Holder({"it": annotation})
        try:
            return get_type_hints(holder, module, _names(frames, owner), include_extras=True)["it"]
        except NameError as error:
            missing = error.name or str(error)
            hidden = is_type_checking_only(missing, module)
            raise UnresolvedNameError(missing, type_checking_only=hidden) from error


class _Holder:
    """Carries one annotation to `get_type_hints`."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations


def scope_of(module: str, qualname: str) -> Scope:
    """Return the names around the definition, running now, of a class or function.

    Frames are recognised by their qualified names, so those of callers that merely happen to be
    on the stack do not take part.
    """
    frames: list[FrameType] = []
    namespace: dict[str, Any] | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == module:
            namespace = frame.f_globals if namespace is None else namespace
            if _encloses(frame, qualname):
                frames.append(frame)
        frame = frame.f_back
    return Scope(_namespace(module, {}) if namespace is None else namespace, tuple(frames))


def _names(frames: tuple[FrameType, ...], owner: type | None) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for frame in reversed(frames):
        names.update(frame.f_locals)
    if owner is not None:
        # A field's default must not stand for the type that the field is named like.
        fields = vars(owner).get("__annotations__", {})
        names.update((k, v) for k, v in vars(owner).items() if k not in fields)
        names[owner.__name__] = owner
    return names


def _encloses(frame: FrameType, qualname: str) -> bool:
    name = frame.f_code.co_qualname
    return qualname.startswith((f"{name}.<locals>.", f"{name}."))


def _namespace(module: str, fallback: dict[str, Any]) -> dict[str, Any]:
    if fallback.get("__name__") == module:
        return fallback
    found = sys.modules.get(module)
    return fallback if found is None else vars(found)


def is_type_checking_only(name: str, module: dict[str, Any]) -> bool:
    """Return whether a module's source binds a name only in an `if TYPE_CHECKING:` block."""
    import ast
    import linecache

    path = module.get("__file__")
    if not path:
        return False
    source = "".join(linecache.getlines(path, module))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _is_guard(node)]
    return any(name in _bound_names(block) for block in blocks)


def _is_guard(node: Any) -> bool:
    test = node.test
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _bound_names(block: Any) -> set[str]:
    import ast

    names: set[str] = set()
    for statement in block.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.alias):
                names.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)) or (
                isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ):
                names.add(node.id if isinstance(node, ast.Name) else node.name)
    return names
