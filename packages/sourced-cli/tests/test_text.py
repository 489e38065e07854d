"""What reaches a terminal: no control, no password, nothing without end."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import SHOP, Project

from sourced_cli._text import hide_passwords, safe, safe_lines, shorten, width

HOSTILE = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;gotcha\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "csi in one byte": "\x9b31m",
    "bidi": "user\u202egpj.exe",
    "isolate": "a\u2066b\u2069",
    "nul": "a\x00b",
    "line": "a\nb\r\nc",
    "line separator": "a\u2028b\u2029c",
    "backspace": "safe\x08\x08\x08\x08evil",
    "zero width": "pay\u200bpal",
    "tag characters": "a\U000e0041b",
    "surrogate": "a\ud800b",
    "delete": "a\x7fb",
    "byte order mark": "\ufeffa",
    "markup": "[/foo] [bold]x",
}


def is_calm(text: str) -> bool:
    """Whether nothing in a text, line ends aside, controls a terminal."""
    return not any(
        unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}
        for c in text.replace("\n", "")
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_shown_as_escapes(text: str) -> None:
    shown = safe(text)

    assert is_calm(shown)
    assert "\n" not in shown


def test_what_is_no_danger_stays() -> None:
    text = "Grüße, 世界 – 100 % ✓ [/foo] 🛒"

    assert safe(text) == text


@given(st.text())
def test_no_text_at_all_controls_a_terminal(text: str) -> None:
    assert is_calm(safe(text))
    assert is_calm(safe_lines(text))


def test_a_long_text_is_cut() -> None:
    assert len(safe("x" * 10_000_000)) < 2_010


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_a_shortened_text_fits(text: str, room: int) -> None:
    assert width(shorten(safe(text), room)) <= room


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ana:s3cret@db/shop",
        "postgresql+psycopg://ana:s3cret@db:5432/shop?sslmode=require",
        'App("postgresql://ana:s3cret@db/shop")',
        "mysql://ana:p@ss:s3cret/x@db/shop",
        "postgresql://db/shop?user=ana&password=s3cret",
        "host=db password=s3cret user=ana",
        "password = 's3cret'",
        "ana:s3cret@db",
    ],
)
def test_a_password_is_hidden_wherever_it_stands(text: str) -> None:
    assert "s3cret" not in hide_passwords(text)
    assert "***" in hide_passwords(text)


@pytest.mark.parametrize(
    "text", ["sqlite:///shop.db", "see https://example.org:8080/x", "a@b.example"]
)
def test_what_has_no_password_stays(text: str) -> None:
    assert hide_passwords(text) == text


# --- through the commands -------------------------------------------------------------------------


def test_hostile_texts_of_the_store_are_harmless_in_every_command(shop: Project) -> None:
    shop.installed()
    texts = [text for what, text in HOSTILE.items() if what not in {"nul", "surrogate"}]
    sent = [
        shop.send("carts.add_item", f"cart-{text}", f"product_id={text}", "price=1")
        for text in texts
    ]
    wrong = [option for text in texts for option in ("-F", f"{text}=1", "--meta", text)]

    for command in (
        ["workers", "--drain"],
        ["lag", *texts],
        ["messages", "tail", "-n", "1000"],
        *(["messages", "tail", "--stream", f"cart-{text}"] for text in texts[:3]),
        *(["messages", "show", identity] for identity in sent),
        *(["messages", "trace", identity] for identity in sent[:3]),
        ["commands", "send", "carts.add_item", *wrong],
    ):
        shown = shop.sourced(*command)
        document = shop.sourced(*command, "--json")
        assert is_calm(shown.out + shown.err), command
        assert is_calm(document.out + document.err), command
        assert document.out.isascii()


def test_an_error_kept_by_the_store_is_harmless_in_a_trace(shop: Project) -> None:
    shop.installed()
    identity = shop.send("carts.place", "cart-1")
    shop.sourced("workers", "--drain")

    result = shop.sourced("messages", "trace", identity)

    assert "no \\x1b[31mroute" in result.out
    assert is_calm(result.out)


def test_a_password_appears_in_no_output(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "mysql://ana:s3cret@db/shop"
    project.write(
        app=SHOP.replace("sqlite:///shop.db", url),
        broken=f'from sourced import App\nApp("{url}").nothing\n',
    )
    outputs = []

    for arguments in (
        ["lag", "-v", "--dsn", url],
        ["lag", "-v", "--dsn", url.replace("mysql", "nonsense")],
        ["lag", "-v", "--dsn", "ana:s3cret@db"],
        ["lag", url],
        ["lag", "-v", "--dns", url],
        ["lag", "-v", "--app", "app:app"],
        ["install", "-v", "--app", "broken:app"],
        ["messages", "show", url],
        ["new", url],
    ):
        outputs += [project.sourced(*arguments), project.sourced(*arguments, "--json")]
    monkeypatch.setenv("SOURCED_DSN", url)
    outputs += [project.sourced("lag", "--help"), project.sourced("lag", "-v")]

    for output in outputs:
        assert "s3cret" not in output.out + output.err
