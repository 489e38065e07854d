"""Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `:8080` for every address, port 0 for any."""

from __future__ import annotations

from ipaddress import IPv6Address

from sourced._failures import safe_repr
from sourced.errors import ConfigurationError

__all__ = ["Address", "address_of", "check_address", "shown_address"]

Address = tuple[str, int]
"""A host, empty for every address of the machine, and a port."""

LAST_PORT = 65_535


def address_of(text: object) -> Address:
    """Return host and port of a text.

    Raises:
        ConfigurationError: it is none of the forms above.
    """
    if not isinstance(text, str):
        raise _wrong(text)
    host, separator, port = text.rpartition(":")
    if not (separator and port.isascii() and port.isdecimal() and int(port[:6]) <= LAST_PORT):
        raise _wrong(text)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_ipv6(host):
            raise _wrong(text)
    elif ":" in host or any(letter.isspace() or letter in "[]/@" for letter in host):
        raise _wrong(text)
    return host, int(port)


def check_address(text: object) -> None:
    """Refuse what `Supervisor(…, health=…)` could not listen at.

    Raises:
        ConfigurationError: it is none of the forms that are understood.
    """
    address_of(text)


def shown_address(address: Address) -> str:
    """Return an address as a URL has it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _wrong(text: object) -> ConfigurationError:
    return ConfigurationError(
        f"expected an address such as 127.0.0.1:8080, [::1]:8080 or :8080, got {safe_repr(text)}"
    )
