"""Finds the store for a URL among the installed packages, by the scheme of the URL."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sourced._clock import Clock
from sourced._store import Store
from sourced.errors import StoreUrlError

__all__ = ["open_store", "safe_url"]

_SECRETS = re.compile(r"((?:password|passwd|pwd|secret|token)=)[^&\s]*", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9.-]*(?=[+:])", re.IGNORECASE)
# Up to the last @: whatever of a password was not percent-encoded is before it.
_CREDENTIALS = re.compile(r"((?:^|://)[^/@:\s]*):(?!//).*@", re.DOTALL)

ENTRY_POINTS = "sourced.stores"

PACKAGES = {
    "sqlite": "sourced-sqlalchemy",
    "postgresql": "sourced-postgres",
    "postgres": "sourced-postgres",
    "mariadb": "sourced-sqlalchemy",
    "mysql": "sourced-sqlalchemy",
}


def open_store(url: str, *, clock: Clock | None = None, **options: Any) -> Store:
    """Open the store of a URL such as `sqlite:///shop.db`.

    Packages announce themselves by the entry-point group `sourced.stores`, one name per URL scheme;
    a driver may follow the scheme (`postgresql+psycopg://…`).

    Raises:
        StoreUrlError: no installed package takes the scheme; says which one to install, or that
            the one that would is installed in a version that does not.
    """
    found = _SCHEME.match(url)
    scheme = found.group().lower() if found else ""
    if scheme == "memory" or not url:
        from sourced.memory import MemoryStore

        return MemoryStore(clock=clock)
    if not scheme or "://" not in url:
        raise StoreUrlError(
            f"{safe_url(url)!r} is no store URL; write sqlite:///shop.db or postgresql://host/name"
        )
    point = _entry_point(scheme)
    if point is None:
        raise StoreUrlError(_not_installed(scheme, url))
    try:
        opener = point.load()
    except ImportError as error:
        raise StoreUrlError(
            f"the package for {scheme}:// URLs is installed but cannot be imported: {error}; "
            f"install it again: pip install --force-reinstall {PACKAGES.get(scheme, point.value)}"
        ) from error
    store: Store = opener(url, clock=clock, **options)
    return store


def safe_url(url: str) -> str:
    """Return a URL without its passwords, for messages."""
    return _CREDENTIALS.sub(r"\1:***@", _SECRETS.sub(r"\1***", url))


def _entry_point(scheme: str) -> EntryPoint | None:
    found = list(entry_points(group=ENTRY_POINTS, name=scheme))
    preferred = PACKAGES.get(scheme)
    for point in found:
        if _package_of(point) == preferred:
            return point
    return found[0] if found else None


def _package_of(point: EntryPoint) -> str | None:
    return None if point.dist is None else point.dist.name


def _not_installed(scheme: str, url: str) -> str:
    package = PACKAGES.get(scheme)
    installed = [p for p in entry_points(group=ENTRY_POINTS) if _package_of(p) == package]
    if package is not None and installed:
        opened = ", ".join(sorted(f"{point.name}://" for point in installed))
        version = installed[0].dist.version if installed[0].dist is not None else ""
        return (
            f"{package} is installed, but its version {version} opens {opened} URLs only, "
            f"and {safe_url(url)!r} is one of {scheme}://"
        )
    if package is not None:
        return (
            f"no installed package opens {scheme}:// URLs (for {safe_url(url)!r}): "
            f"pip install {package}"
        )
    known = ", ".join(sorted({p.name for p in entry_points(group=ENTRY_POINTS)} | set(PACKAGES)))
    return f"unknown store scheme {scheme!r} in {safe_url(url)!r}; known are: memory, {known}"
