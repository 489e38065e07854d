"""Finding the app: the first hit wins, and what fails says in which of the ways it did."""

from __future__ import annotations

import pytest
from projects import SHOP, Project

APP = 'from sourced import App\n{name} = App("sqlite:///{name}.db")\n'


def source_of(project: Project, *arguments: str) -> str:
    result = project.sourced("install", "-v", *arguments)
    assert result.code == 0, result.err
    return next(line for line in result.err.splitlines() if line.startswith("app: "))


# --- who decides ----------------------------------------------------------------------------------


def test_the_option_wins_over_all_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(
        app=APP.format(name="guessed"), a=APP.format(name="one"), b=APP.format(name="two")
    )
    project.configure('[tool.sourced]\napp = "b:two"\n')
    monkeypatch.setenv("SOURCED_APP", "b:two")

    assert source_of(project, "--app", "a:one") == "app: a:one, by --app"


def test_the_environment_wins_over_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(
        app=APP.format(name="guessed"), a=APP.format(name="one"), b=APP.format(name="two")
    )
    project.configure('[tool.sourced]\napp = "b:two"\n')
    monkeypatch.setenv("SOURCED_APP", "a:one")

    assert source_of(project) == "app: a:one, by SOURCED_APP"


def test_the_nearest_pyproject_wins_over_guesses(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        app=APP.format(name="guessed"), pkg____init__="", pkg__events=APP.format(name="two")
    )
    project.configure('[tool.sourced]\napp = "pkg.events:two"\n')
    below = project.folder / "pkg" / "deep"
    below.mkdir()
    monkeypatch.chdir(below)

    found = source_of(project)

    assert found == f"app: pkg.events:two, by [tool.sourced] in {project.folder / 'pyproject.toml'}"


def test_modules_of_a_src_layout_are_found(project: Project) -> None:
    project.write(src__pkg____init__="", src__pkg__app=APP.format(name="app"))
    project.configure('[tool.sourced]\napp = "pkg.app:app"\n')

    assert source_of(project).startswith("app: pkg.app:app, by [tool.sourced]")


def test_a_pyproject_above_the_repository_is_not_ours(project: Project) -> None:
    (project.folder.parent / "pyproject.toml").write_text('[tool.sourced]\napp = "a:one"\n')
    project.write(app=APP.format(name="app"))

    assert source_of(project) == "app: app:app, by app.py, where it is the only App"


@pytest.mark.parametrize("file", ["app", "main", "events"])
def test_the_only_app_of_the_usual_files_is_guessed(project: Project, file: str) -> None:
    project.write(**{file: APP.format(name="shop")})

    assert source_of(project) == f"app: {file}:shop, by {file}.py, where it is the only App"


def test_one_app_under_two_names_is_one_app(project: Project) -> None:
    project.write(
        app=APP.format(name="shop") + "other = shop\n", main="from app import shop  # sourced\n"
    )

    assert source_of(project) == "app: app:shop, by app.py, where it is the only App"


def test_a_file_that_does_not_speak_of_sourced_is_not_run(project: Project) -> None:
    project.write(main="raise SystemExit('this is not yours')", events=APP.format(name="app"))

    assert source_of(project).startswith("app: events:app")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("a:make", 'from sourced import App\ndef make(): return App("sqlite:///a.db")'),
        ("a:make", 'from sourced import App\nasync def make(): return App("sqlite:///a.db")'),
        ("a:holder.app", 'from sourced import App\nclass holder: app = App("sqlite:///a.db")'),
        ("a", 'from sourced import App\nany_name = App("sqlite:///a.db")'),
    ],
    ids=["factory", "async factory", "nested attribute", "module alone"],
)
def test_what_may_be_named(project: Project, target: str, code: str) -> None:
    project.write(a=code)

    assert source_of(project, "--app", target).startswith(f"app: {target}")


# --- what fails -----------------------------------------------------------------------------------


def failed(project: Project, target: str | None = None) -> tuple[str, dict[str, str], str]:
    """The code and the diagnostic of a failed discovery, and what stderr says."""
    options = [] if target is None else ["--app", target]
    result = project.sourced("commands", "list", "--json", *options)
    assert result.code == 3, result
    (diagnostic,) = result.json["diagnostics"]
    return diagnostic["code"], diagnostic, result.err


def test_no_app_at_all_says_where_it_looked_and_how_to_make_one(project: Project) -> None:
    code, said, _ = failed(project)

    assert code == "app.not-found"
    assert str(project.folder) in said["message"]
    assert "sourced new" in said["hint"]


def test_several_apps_are_listed(project: Project) -> None:
    project.write(app=APP.format(name="one"), main=APP.format(name="two"))

    code, said, _ = failed(project)

    assert code == "app.ambiguous"
    assert "app:one, main:two" in said["message"]


def test_no_such_module_is_told_with_the_nearest(project: Project) -> None:
    project.write(pkg____init__="", pkg__events="")

    code, said, err = failed(project, "pkg.evnts:app")

    assert code == "app.no-such-module"
    assert said["message"] == "no such module: 'pkg.evnts'; did you mean 'pkg.events'?"
    assert "Traceback" not in err


def test_a_path_is_no_module_name(project: Project) -> None:
    code, said, _ = failed(project, "pkg/events.py:app")

    assert code == "app.no-such-module"
    assert "shop.events:app" in said["hint"]


def test_no_such_attribute_is_told_with_the_nearest_and_the_modules_apps(
    project: Project,
) -> None:
    project.write(a=APP.format(name="shop") + "shape = 1\n")

    code, said, err = failed(project, "a:shp")

    assert code == "app.no-such-attribute"
    assert said["message"] == "module 'a' has no attribute 'shp'; did you mean 'shop'?"
    assert said["hint"] == "its apps: a:shop"
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("files", "last"),
    [
        ({"a": "import nothing_of_that_name\n"}, "nothing_of_that_name"),
        ({"a": "import b\n", "b": "def f():\n    return 1 / 0\nf()\n"}, "division by zero"),
        ({"a": "x = (\n"}, "'(' was never closed"),
        ({"a": "raise SystemExit(4)\n"}, "SystemExit: 4"),
        (
            {"a": "from sourced import Command\nclass A(Command):\n    meta: int\n"},
            "DefinitionError",
        ),
    ],
    ids=["missing import", "raises", "syntax", "exits", "wrong class"],
)
def test_a_module_that_fails_to_import_shows_the_users_traceback_and_none_of_ours(
    project: Project, files: dict[str, str], last: str
) -> None:
    project.write(**files)

    code, said, err = failed(project, "a:app")

    assert code == "app.import-failed"
    assert "'a' failed to import" in said["message"]
    places = [line for line in err.splitlines() if line.strip().startswith('File "')]
    assert places
    assert all(str(project.folder) in line for line in places), err
    assert last in err


def test_an_error_inside_a_factory_shows_its_traceback(project: Project) -> None:
    project.write(a="def make():\n    raise LookupError('no settings')\n")

    code, said, err = failed(project, "a:make")

    assert code == "app.factory-failed"
    assert "no settings" in said["message"]
    assert 'a.py", line 2, in make' in err


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("a:number", "an int"),
        ("a:nothing", "None"),
        ("a:needy", "needs arguments"),
        ("a:wrong", "a str"),
    ],
)
def test_what_is_no_app_is_refused(project: Project, target: str, text: str) -> None:
    project.write(a="number = 1\nnothing = None\ndef needy(url): ...\ndef wrong(): return 'x'\n")

    code, said, _ = failed(project, target)

    assert code == "app.not-an-app"
    assert text in said["message"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[tool.sourced\n", "config.unreadable"),
        ("[tool.sourced]\napp = 3\n", "config.invalid"),
        ("[tool]\nsourced = 1\n", "config.invalid"),
    ],
)
def test_a_broken_configuration_names_its_file(project: Project, text: str, code: str) -> None:
    project.configure(text)

    found, said, _ = failed(project)

    assert found == code
    assert "pyproject.toml" in said["message"]


def test_what_an_app_prints_when_it_is_imported_stays_off_stdout(project: Project) -> None:
    project.write(app="print('hello')\n" + SHOP)

    text = project.sourced("commands", "list")
    document = project.sourced("commands", "list", "--json")

    assert "hello" not in text.out
    assert "hello" in text.err
    assert document.json["status"] == "ok"


# --- a store without an app -----------------------------------------------------------------------


def test_commands_that_only_look_need_no_app(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.installed()
    (shop.folder / "app.py").unlink()

    by_option = shop.sourced("lag", "-v", "--dsn", "sqlite:///shop.db")
    monkeypatch.setenv("SOURCED_DSN", "sqlite:///shop.db")
    by_environment = shop.sourced("lag", "-v")

    assert (by_option.code, by_environment.code) == (0, 0)
    assert "store: sqlite:///shop.db, by --dsn" in by_option.err
    assert "store: sqlite:///shop.db, by SOURCED_DSN" in by_environment.err


def test_an_app_on_the_command_line_wins_over_a_url_in_the_environment(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.installed()
    monkeypatch.setenv("SOURCED_DSN", "sqlite:///elsewhere.db")

    assert "app: app:app, by --app" in shop.sourced("lag", "-v", "--app", "app:app").err


def test_two_stores_on_the_command_line_are_one_too_many(shop: Project) -> None:
    result = shop.sourced("lag", "--app", "app:app", "--dsn", "sqlite:///shop.db")

    assert result.code == 2
    assert "give one of them" in result.err


def test_a_store_in_memory_is_pointed_out(project: Project) -> None:
    project.write(app="from sourced import App\napp = App()\n")

    result = project.sourced("lag", "--json")

    assert result.codes == ["store.in-memory"]
    assert result.json["status"] == "ok"
