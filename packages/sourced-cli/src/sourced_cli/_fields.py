"""Builds a message's payload from what stands on a command line, by its JSON Schema.

The schema says what a text means: `2` is a number for an integer field and a text for a text field.
A text that does not mean anything the field takes is left as it is, so that the message's own codec
says what is wrong with it: there is one judge of payloads.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "RefusedError",
    "Schema",
    "assemble",
    "field_rows",
    "kind_of",
    "literal",
    "split_pairs",
]

Schema = Mapping[str, Any]
ANY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})


class RefusedError(ValueError):
    """A text that is JSON and means nothing definite, or more than can be stored."""


def split_pairs(texts: Iterable[str], what: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return what `name=value` texts say, and what is wrong with those that do not."""
    pairs, problems = [], []
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name.strip():
            pairs.append((name.strip(), value))
        else:
            problems.append(f"{what} {text!r} is no name=value")
    return pairs, problems


def literal(text: str) -> Any:
    """Return what a text means where no schema says: JSON if it is, itself if not.

    Raises:
        RefusedError: it is nested too deeply, or an object in it names a key twice.
    """
    try:
        return _json_of(text)
    except RefusedError:
        raise
    except ValueError:
        return text


def assemble(
    schema: Schema, fields: Iterable[tuple[str, str]], base: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the payload: `base` with the fields set, each by its path, and what is wrong.

    Args:
        schema: of the payload.
        fields: paths such as `address.city` with texts; a list's field may come several times.
        base: the payload before.
    """
    payload, problems = copy.deepcopy(dict(base)), []
    lists: set[str] = set()
    for path, text in fields:
        steps = [path] if path in schema.get("properties", {}) else path.split(".")
        target, problem = _inside(payload, steps[:-1])
        if problem:
            problems.append(f"--field {path}: {problem}")
            continue
        found = _schema_at(schema, steps)
        try:
            if _is_list(found, schema) and not isinstance(literal(text), list):
                value = [_value(text, _items(found, schema), schema)]
                target[steps[-1]] = target[steps[-1]] + value if path in lists else value
                lists.add(path)
            else:
                target[steps[-1]] = _value(text, found, schema)
        except RefusedError as error:
            problems.append(f"--field {path}: {error}")
    return payload, problems


def field_rows(schema: Schema) -> list[tuple[str, str, str, str]]:
    """Return each field's name, type, default or "required", and rules."""
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        resolved = _resolved(field, schema)
        need = "required" if name in required else f"default {json.dumps(field.get('default'))}"
        rows.append((name, kind_of(field, schema), need, _constraints(resolved)))
    return rows


def kind_of(field: Schema, root: Schema) -> str:
    """Return a field's type in words."""
    field = _resolved(field, root)
    if "enum" in field:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in field["enum"])
    if "const" in field:
        return json.dumps(field["const"], ensure_ascii=False)
    branches = field.get("anyOf") or field.get("oneOf")
    if branches:
        return " | ".join(kind_of(branch, root) for branch in branches)
    kind = field.get("type", "anything")
    if isinstance(kind, list):
        return " | ".join(kind)
    if kind == "array" and "items" in field and isinstance(field["items"], Mapping):
        return f"list of {kind_of(field['items'], root)}"
    return str(field.get("format", kind))


# --- reading values -------------------------------------------------------------------------------


def _value(text: str, field: Schema, root: Schema) -> Any:
    kinds = _kinds(field, root)
    if kinds <= {"string", "null"} and "string" in kinds:
        return text
    if kinds == {"boolean"} and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = literal(text)
    except RefusedError:
        if kinds & {"array", "object"}:
            raise
        return text
    return value if _kind_in_json(value) & kinds else text


def _kind_in_json(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset({"null"})
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int):
        return frozenset({"integer", "number"})
    if isinstance(value, float):
        return frozenset({"number"})
    if isinstance(value, list):
        return frozenset({"array"})
    return frozenset({"object"}) if isinstance(value, dict) else frozenset({"string"})


def _json_of(text: str) -> Any:
    """Return what a JSON text holds.

    Raises:
        RefusedError: it is nested too deeply, or an object names a key twice.
        ValueError: it is no JSON.
    """
    from sourced._json_text import is_shallow

    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.extend(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        return found

    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=once)
    except RecursionError:
        raise RefusedError("is nested too deeply") from None
    if not is_shallow(value):
        raise RefusedError("is nested too deeply")
    if twice:
        raise RefusedError(f"names the key {twice[0]!r} twice")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


# --- reading schemas ------------------------------------------------------------------------------


def _kinds(field: Schema, root: Schema) -> frozenset[str]:
    field = _resolved(field, root)
    if "enum" in field:
        return frozenset().union(*(_kind_in_json(value) for value in field["enum"]))
    if "const" in field:
        return _kind_in_json(field["const"])
    branches = field.get("anyOf") or field.get("oneOf")
    if branches:
        return frozenset().union(*(_kinds(branch, root) for branch in branches))
    kind = field.get("type")
    if kind is None:
        return ANY
    return frozenset([kind] if isinstance(kind, str) else kind)


def _is_list(field: Schema, root: Schema) -> bool:
    kinds = _kinds(field, root)
    return "array" in kinds and kinds != ANY


def _resolved(field: Schema, root: Schema) -> Schema:
    """Follow references within the document; a circle of them ends."""
    for _ in range(20):
        reference = field.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return field
        found: Any = root
        for step in reference[2:].split("/"):
            found = found.get(step, {}) if isinstance(found, Mapping) else {}
        field = found
    return field


def _schema_at(root: Schema, steps: list[str]) -> Schema:
    field: Schema = root
    for step in steps:
        field = _object_of(field, root)
        properties = field.get("properties", {})
        extra = field.get("additionalProperties")
        field = properties.get(step) or (extra if isinstance(extra, Mapping) else {})
    return field


def _object_of(field: Schema, root: Schema) -> Schema:
    field = _resolved(field, root)
    for branch in field.get("anyOf") or field.get("oneOf") or ():
        if "object" in _kinds(branch, root):
            return _resolved(branch, root)
    return field


def _items(field: Schema, root: Schema) -> Schema:
    field = _resolved(field, root)
    for branch in field.get("anyOf") or field.get("oneOf") or ():
        if "array" in _kinds(branch, root):
            field = _resolved(branch, root)
    items = field.get("items", {})
    return items if isinstance(items, Mapping) else {}


def _inside(payload: dict[str, Any], steps: list[str]) -> tuple[dict[str, Any], str]:
    """Return the object that holds a field, made on the way where it is missing."""
    target = payload
    for step in steps:
        inner = target.setdefault(step, {})
        if not isinstance(inner, dict):
            return payload, f"{step} is no object, but {json.dumps(inner)}"
        target = inner
    return target, ""


_CONSTRAINTS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
    "description": "{}",
}


def _constraints(field: Schema) -> str:
    return ", ".join(text.format(field[key]) for key, text in _CONSTRAINTS.items() if key in field)
