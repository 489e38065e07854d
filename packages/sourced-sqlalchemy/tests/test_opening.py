"""Opening a store: URLs, options, prefixes, and files that are missing, replaced or unreadable."""

from __future__ import annotations

import gc
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from sqlalchemy import Connection, create_engine, event, inspect, text

from sourced._store import Store, StreamCommit, WorkerInfo
from sourced._stores import open_store as open_by_entry_point
from sourced.errors import SchemaError, StoreError, StoreUnavailableError, StoreUrlError
from sourced_sqlalchemy import SQLAlchemyStore, metadata, open_store, tables_of
from sourced_sqlalchemy._connections import raw_of
from sourced_sqlalchemy._options import Options
from sourced_sqlalchemy._translate import translate
from sourced_testing.conformance._given import message

# --- URLs and options -----------------------------------------------------------------------------


def test_the_kernel_finds_the_store_by_the_scheme_of_the_url(url: str) -> None:
    store: Store = open_by_entry_point(url)

    assert isinstance(store, SQLAlchemyStore)


def test_opening_reads_and_makes_nothing(url: str, file: Path) -> None:
    open_store(url)

    assert not file.exists()


def test_a_relative_file_is_where_the_program_was_when_it_opened_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///shop.db")
    monkeypatch.chdir("/")

    store.install()

    assert (tmp_path / "shop.db").exists()


@pytest.mark.parametrize("name", ["with space.db", "per%cent.db", "q?mark#.db", "ü.db"])
def test_any_file_name_is_opened_as_it_stands(tmp_path: Path, name: str) -> None:
    store = SQLAlchemyStore(Options(file=tmp_path / name))

    store.install()

    assert (tmp_path / name).exists()
    store.close()


def test_options_in_the_url_win_over_those_in_code(url: str) -> None:
    store = open_store(
        f"{url}?prefix=shop_&synchronous=normal&busy_timeout=1.5&max_message_bytes=10",
        prefix="other_",
    )

    assert store.options == Options(
        file=store.options.file,
        prefix="shop_",
        synchronous="NORMAL",
        busy_timeout=timedelta(seconds=1.5),
        max_message_bytes=10,
    )


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("color=red", "unknown option 'color'.*busy_timeout"),
        ("busy_timeout=soon", "busy_timeout='soon' is no number"),
        ("busy_timeout=-1", "negative"),
        ("busy_timeout=99999999", "more than a day"),
        ("prefix=a_&prefix=b_", "is no identifier"),
        ("synchronous=sometimes", "none of SQLite's levels: OFF, NORMAL, FULL, EXTRA"),
        ("max_message_bytes=0", "takes no message"),
        ("prefix=a-b", "'a-b' is no identifier"),
        ("prefix=sqlite_", "is no identifier"),
        ("prefix=x;drop", "is no identifier"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_at_once(url: str, query: str, says: str) -> None:
    with pytest.raises(StoreUrlError, match=says):
        open_store(f"{url}?{query}")


@pytest.mark.parametrize(
    "wrong",
    [
        "shop.db",
        "postgresql://localhost/shop",
        "sqlite://host/shop.db",
        "sqlite//shop.db",
        "sqlite+pysqlcipher:///shop.db",
    ],
)
def test_what_is_no_sqlite_url_is_refused_with_one_that_is(wrong: str) -> None:
    with pytest.raises(StoreUrlError, match="sqlite:///"):
        open_store(wrong)


# --- tables ---------------------------------------------------------------------------------------


def test_the_public_metadata_holds_exactly_what_install_makes(url: str) -> None:
    store = open_store(url)
    store.install()
    engine = create_engine(url)

    assert set(inspect(engine).get_table_names()) == set(metadata.tables)
    engine.dispose()


def test_tables_made_by_the_metadata_are_installed_by_what_is_missing(url: str) -> None:
    """As Alembic does it."""
    engine = create_engine(url)
    metadata.create_all(engine)
    engine.dispose()
    store = open_store(url)
    before = store.installed()

    store.install()

    assert (before, store.installed()) == (False, True)
    assert store.append([message("a")]).messages[0].position == 1


def test_install_makes_again_what_somebody_dropped(store: SQLAlchemyStore) -> None:
    with store.transaction() as transaction:
        transaction.connection.execute(text("DROP TABLE sourced_snapshots"))
    before = store.installed()

    made = store.install()

    assert (before, made, store.installed()) == (False, True, True)


def test_an_sqlite_that_is_too_old_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(StoreUnavailableError, match=r"needs 3\.35 or later"):
        open_store(url)


def test_stores_of_two_prefixes_share_a_file_and_nothing_else(url: str) -> None:
    one, two = open_store(f"{url}?prefix=one_"), open_store(f"{url}?prefix=two_")
    one.install()
    two.install()
    one.append([message("a")])

    one.uninstall()

    assert (one.installed(), two.installed()) == (False, True)
    assert two.append([message("a")]).messages[0].seq == 1
    assert tables_of("one_") is one.tables


def test_uninstall_leaves_the_users_own_tables(url: str, store: SQLAlchemyStore) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (x)"))

    store.uninstall()

    assert inspect(engine).get_table_names() == ["mine"]
    engine.dispose()


def test_a_store_of_a_newer_version_asks_for_a_newer_package(
    store: SQLAlchemyStore, url: str
) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE sourced_migrations SET version = 999"))
    engine.dispose()

    for look in (store.installed, store.install):
        with pytest.raises(SchemaError, match=r"999.*pip install --upgrade sourced-sqlalchemy"):
            look()


def test_the_file_keeps_a_write_ahead_log_and_waits_for_the_disk(
    store: SQLAlchemyStore,
) -> None:
    with store.transaction() as transaction:
        connection = transaction.connection

        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_only_claims_and_heartbeats_do_not_wait_for_the_disk(store: SQLAlchemyStore) -> None:
    levels: list[int] = []

    @event.listens_for(store._database._writer, "commit")
    def note(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        levels.append(raw.execute("PRAGMA synchronous").fetchone()[0])

    store.register("G", ["added"], start="now")
    store.join(WorkerInfo(id="w"))
    store.append([message("a")])
    (claim,) = store.claim("G", "w")
    store.heartbeat("w")
    store.commit("w", [StreamCommit(claim=claim, ack_seq=1)])

    full, normal = 2, 1
    assert levels[-4:] == [full, normal, normal, full]
    assert set(levels[:-4]) == {full}


def test_the_readers_connection_cannot_write(store: SQLAlchemyStore) -> None:
    with store.connection() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("DELETE FROM sourced_streams"))


def test_a_store_that_nobody_closed_closes_with_its_last_reference(url: str) -> None:
    store = open_store(url)
    store.install()
    store.read_all()
    database, pool = ref(store._database), store._database._reader.pool

    del store
    gc.collect()

    assert database() is None
    assert "Connections in pool: 0" in pool.status()


# --- files that are not as they should be ---------------------------------------------------------


def test_a_file_that_is_not_there_is_not_installed_and_is_not_made_by_looking(
    url: str, file: Path
) -> None:
    store = open_store(url)

    assert store.installed() is False
    with pytest.raises(SchemaError, match=rf"{file}.*`sourced install`"):
        store.append([message("a")])
    assert not file.exists()


def test_missing_tables_name_install(url: str, file: Path) -> None:
    sqlite3.connect(file).close()

    with pytest.raises(SchemaError, match=rf"{file}.*`sourced install`") as raised:
        open_store(url).append([message("a")])

    assert raised.value.__cause__ is not None


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/nowhere/shop.db")

    with pytest.raises(StoreUnavailableError, match="nowhere does not exist; make it first"):
        store.install()


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.db").mkdir()

    with pytest.raises(StoreUnavailableError, match=r"cannot open .*shop\.db"):
        open_store(f"sqlite:///{tmp_path}/shop.db").install()


def test_a_file_that_is_no_database_is_named(url: str, file: Path) -> None:
    file.write_bytes(b"these are a shopping list and not a database" * 100)

    for use in (open_store(url).install, open_store(url).installed, open_store(url).inspect.status):
        with pytest.raises(StoreUnavailableError, match=rf"{file} is no SQLite database"):
            use()


def test_a_damaged_file_is_named(store: SQLAlchemyStore, file: Path) -> None:
    store.append([message("a", payload=f'{{"x": "{"y" * 5000}"}}') for _ in range(50)])
    store.close()
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\x5a" * (len(damaged) - 4096)
    file.write_bytes(damaged)

    with pytest.raises(StoreUnavailableError, match=rf"{file} is damaged.*restore a backup"):
        store.read_all()


def test_a_file_that_was_removed_takes_no_more_writes(store: SQLAlchemyStore, file: Path) -> None:
    """SQLite would go on writing to what nobody can open any more."""
    store.append([message("a")])
    file.unlink()

    with pytest.raises(SchemaError, match="there is no database"):
        store.append([message("a")])


def test_a_file_that_was_replaced_is_the_one_that_is_written(
    store: SQLAlchemyStore, url: str, file: Path, tmp_path: Path
) -> None:
    """As when a backup is put back under a running program."""
    store.append([message("a")])
    backup = open_store(f"sqlite:///{tmp_path}/backup.db")
    backup.install()
    backup.append([message("a"), message("a")])
    backup.close()
    (tmp_path / "backup.db").replace(file)
    for log in ("-wal", "-shm"):
        Path(f"{file}{log}").unlink()

    store.append([message("a")])

    assert open_store(url).read_stream("a").head == 3


def test_a_lock_that_somebody_holds_is_waited_for_and_then_named(
    store: SQLAlchemyStore, url: str, file: Path
) -> None:
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = open_store(url, busy_timeout=timedelta(milliseconds=50))

    with pytest.raises(StoreUnavailableError, match=r"locked .* for 0\.05 s: end the program"):
        impatient.append([message("a")])
    assert impatient.read_stream("a").head == 0  # readers do not wait
    holder.execute("ROLLBACK")
    impatient.append([message("a")])

    assert store.read_stream("a").head == 1
    holder.close()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("SQLITE_FULL", "no room to write to shop"),
        ("SQLITE_READONLY_DIRECTORY", "write permission on the file and on its directory"),
        ("SQLITE_IOERR_FSYNC", "the disk of shop"),
        ("SQLITE_BUSY_RECOVERY", "shop.db stayed locked"),
        ("SQLITE_LOCKED", "shop.db stayed locked"),
        ("SQLITE_PERM", "mend the permissions"),
        ("SQLITE_MISUSE", "SQLite refused on shop.db: the driver's text"),
    ],
)
def test_each_error_of_the_driver_says_what_to_do(code: str, says: str) -> None:
    error = sqlite3.OperationalError("the driver's text")
    error.sqlite_errorcode = getattr(sqlite3, code)

    translated = translate(error, Options(file=Path("shop.db")))

    assert isinstance(translated, StoreError)
    assert says in str(translated)


def test_a_connection_that_is_in_use_when_the_store_is_closed_is_closed_behind_its_user(
    tmp_path: Path,
) -> None:
    store = open_store(f"sqlite:///{tmp_path}/shop.db")
    store.install()

    with store.connection() as connection:
        raw = raw_of(connection)
        store.close()
        assert raw.execute("SELECT 1").fetchone() == (1,)

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        raw.execute("SELECT 1")
    assert store.installed()  # the next use opens new ones
    store.close()
