"""What may go to a terminal: no control characters, no passwords, no endless lines."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["hide_passwords", "safe", "safe_lines", "shorten", "width"]

CAP = 2_000

# Controls, invisible format characters (bidi among them), surrogates, separators of lines and
# paragraphs, and what has no meaning: a terminal may act on them, or show what is not there.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# A password may itself contain an @: everything up to the last one before the host.
_IN_URL = re.compile(r"(?P<user>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'\"]*):[^\s'\"]*@")
_WITHOUT_SCHEME = re.compile(r"(?P<user>\b\w[\w.+-]*):[^\s'\"/@]+@(?=\w)")
_IN_QUERY = re.compile(r"(?P<name>(?i:[?&](?:sslpassword|password|passwd|pwd)=))[^&\s'\"]+")
_IN_CONNINFO = re.compile(
    r"(?P<name>(?i:\b(?:sslpassword|password|passwd|pwd)\s*=\s*))(?P<q>['\"]?)[^\s'\"]+"
)


def safe(text: object, *, cap: int = CAP) -> str:
    """Return a text on one line in which nothing controls a terminal; escapes show what was there.

    Everything that comes from a store or from a user's code is shown through this.
    """
    shown = str(text)
    cut = shown[:cap]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(_escape(c) if unicodedata.category(c) in _UNSAFE else c for c in cut)
    return cut + " …" if len(shown) > cap else cut


def safe_lines(text: str, *, cap: int = 200_000) -> str:
    """Return a text whose line ends stay and in which nothing else controls a terminal."""
    return "\n".join(safe(line.expandtabs(), cap=CAP) for line in text[-cap:].splitlines())


def hide_passwords(text: str) -> str:
    """Return a text without the passwords of the URLs and connection strings in it."""
    text = _IN_URL.sub(r"\g<user>:***@", text)
    text = _WITHOUT_SCHEME.sub(r"\g<user>:***@", text)
    text = _IN_QUERY.sub(r"\g<name>***", text)
    return _IN_CONNINFO.sub(r"\g<name>***", text)


def shorten(text: str, room: int) -> str:
    """Return a safe text that takes up at most `room` columns."""
    if width(text) <= room:
        return text
    taken, kept = 0, []
    for character in text:
        taken += width(character)
        if taken > room - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def width(text: str) -> int:
    """Return how many columns of a terminal a safe text takes up."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _escape(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
