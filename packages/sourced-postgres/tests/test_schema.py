"""The schema: installed by several at once, migrated, granted, dropped; identifiers and options."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.resources import files
from typing import Any, LiteralString, cast
from urllib.parse import quote
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from sourced._records import ScheduledMessage
from sourced._store import (
    ExpectedSeq,
    Park,
    ReadLimits,
    Retry,
    Snapshot,
    StreamCommit,
    UnitOfWork,
)
from sourced.errors import (
    SchemaError,
    StoreError,
    StoreUnavailableError,
    StoreUrlError,
    UsageError,
)
from sourced_postgres import PostgresStore, _schema, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message

RELATIONS = """
SELECT c.relname, c.relkind, c.reloptions::text
FROM pg_class AS c
WHERE c.relnamespace = %(schema)s::regnamespace
"""
COLUMNS = """
SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.attidentity, a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND a.attnum > 0
"""
INDEXES = """
SELECT replace(indexdef, %(schema)s, '') FROM pg_indexes WHERE schemaname = %(schema)s
"""
CONSTRAINTS = """
SELECT c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint AS c
WHERE c.connamespace = %(schema)s::regnamespace
"""
FUNCTIONS = """
SELECT p.proname, pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')
FROM pg_proc AS p
WHERE p.pronamespace = %(schema)s::regnamespace
"""


@pytest.fixture
def connection(sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own, in autocommit mode."""
    with psycopg.connect(sourced_postgres, autocommit=True) as own:
        yield own


@pytest.fixture
def plain(url: str) -> Iterator[PostgresStore]:
    """A store that goes by the database's clock; not installed."""
    store = open_store(url)
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def role(connection: psycopg.Connection, schema: str) -> Iterator[str]:
    """A role that may do nothing yet; a name that has to be quoted, and more than once."""
    role = f"role '\"$$ {schema}"
    name = sql.Identifier(role)
    connection.execute(sql.SQL("CREATE ROLE {}").format(name))
    yield role
    connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
    connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def worker(plain: PostgresStore, url: str, role: str) -> Iterator[PostgresStore]:
    """A store whose connections have the rights of the role, and no others."""
    name = role.replace(" ", "\\ ")
    worker = open_store(f"{url}&options={quote(f'-c role={name}')}")
    yield worker
    worker.close()


def catalogue(connection: psycopg.Connection, schema: str) -> list[Any]:
    """What the catalogue says of a schema."""
    found = []
    for query in (RELATIONS, COLUMNS, INDEXES, CONSTRAINTS, FUNCTIONS):
        rows = connection.execute(query.encode(), {"schema": schema}).fetchall()
        found.append(sorted(repr(rows).replace(schema, "…") for rows in rows))
    return found


def make_older(connection: psycopg.Connection, schema: str, version: int) -> None:
    """Make what a package installed that knew the first migrations only."""
    own = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(own))
    folder = files("sourced_postgres") / "sql" / "migrations"
    for file in sorted(folder.iterdir(), key=lambda file: file.name)[:version]:
        text: LiteralString = cast(Any, file.read_text())  # a file of the package
        connection.execute(sql.SQL(text).format(schema=own))
        note = sql.SQL("INSERT INTO {}.migrations VALUES ({}, now(), '0.0.1 abc')")
        connection.execute(note.format(own, int(file.name[:4])))


def install_in_a_process(url: str, role: str | None, barrier: Any, answers: Any) -> None:
    """Install at the same moment as the others."""
    store = open_store(url)
    barrier.wait(30)
    answers.put(store.install(role=role))
    store.close()


def installed_by_eight(url: str, role: str | None = None) -> list[bool]:
    """Let eight processes install at once; return what each of them says."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(8), context.Queue()
    arguments = (url, role, barrier, answers)
    processes = [context.Process(target=install_in_a_process, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    return sorted(answers.get(timeout=5) for _ in processes)


# --- making and migrating -------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, _schema.VERSION + 1))
def test_an_older_schema_becomes_what_a_new_one_is(
    plain: PostgresStore, url: str, connection: psycopg.Connection, schema: str, version: int
) -> None:
    plain.install()
    older = f"{schema}_o"
    make_older(connection, older, version)
    store = open_store(url.replace(schema, older))

    assert store.install()
    assert not store.install()

    assert catalogue(connection, older) == catalogue(connection, schema)
    assert catalogue(connection, schema)[-1] != []
    store.uninstall()
    store.close()


def test_eight_processes_that_install_at_once_make_it_once(
    plain: PostgresStore, url: str, role: str
) -> None:
    answers = installed_by_eight(url, role)

    assert answers == [False] * 7 + [True]
    assert plain.installed()


def test_eight_processes_that_migrate_at_once_do_it_once(
    plain: PostgresStore, url: str, connection: psycopg.Connection, schema: str
) -> None:
    make_older(connection, schema, 1)

    answers = installed_by_eight(url)

    assert answers == [False] * 7 + [True]
    assert plain.installed()


def test_what_was_migrated_and_when_is_told(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    nothing = plain.migrations()
    with pytest.raises(SchemaError, match="nothing to migrate"):
        plain.migrate()
    make_older(connection, schema, 1)
    behind = plain.migrations()
    was_installed = plain.installed()

    taken = plain.migrate()

    assert [one.applied_at for one in nothing] == [None] * _schema.VERSION
    assert [one.name for one in nothing][:2] == ["first", "former names"]
    assert [one.applied_at is None for one in behind] == [False] + [True] * (_schema.VERSION - 1)
    assert not was_installed
    assert [one.version for one in taken] == list(range(2, _schema.VERSION + 1))
    assert plain.installed()
    assert plain.migrate() == ()


@pytest.mark.parametrize("version", [0, 1])
def test_the_script_of_a_migration_does_what_install_does(
    plain: PostgresStore, url: str, connection: psycopg.Connection, schema: str, version: int
) -> None:
    """Somebody else may run it, who has rights that this program has not."""
    plain.install()
    other = f"{schema}_o"
    if version:
        make_older(connection, other, version)
    store = open_store(url.replace(schema, other))

    connection.execute(store.migration_sql().encode())

    assert store.installed()
    assert not store.install()
    assert catalogue(connection, other) == catalogue(connection, schema)
    assert store.append([message("a")]).messages[0].seq == 1
    store.uninstall()
    store.close()


@pytest.fixture
def psql(sourced_postgres: str) -> Callable[[str], None]:
    """Run a script as somebody else would, whose settings put a savepoint before each statement."""
    program = shutil.which("psql")
    if program is None:
        pytest.skip("no psql: install the system's package `postgresql-client`")

    def run(script: str) -> None:
        settings = ("-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "ON_ERROR_ROLLBACK=on")
        ended = subprocess.run(
            [program, *settings, "-d", sourced_postgres],
            input=script,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr

    return run


@pytest.mark.parametrize("version", [0, 1, _schema.VERSION])
def test_a_script_run_by_psql_makes_what_install_makes_and_uninstall_drops(
    plain: PostgresStore,
    url: str,
    connection: psycopg.Connection,
    schema: str,
    version: int,
    psql: Callable[[str], None],
) -> None:
    """Though psql makes each statement a transaction inside the script's; the user's stays."""
    plain.install()
    other = f"{schema}_o"
    store = open_store(url.replace(schema, other))
    if version == _schema.VERSION:
        store.install()
    elif version:
        make_older(connection, other, version)
    own = sql.Identifier(other)
    make = (
        "CREATE SCHEMA IF NOT EXISTS {s};"
        "CREATE FUNCTION {s}.stop() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    )
    connection.execute(sql.SQL(make).format(s=own))

    psql(store.migration_sql())

    assert store.installed()
    found = connection.execute(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = %s::regnamespace"
        " AND obj_description(oid, 'pg_proc') IS NULL",
        [other],
    )
    assert found.fetchone() == (1,)
    connection.execute(sql.SQL("DROP FUNCTION {s}.stop()").format(s=own))
    assert catalogue(connection, other) == catalogue(connection, schema)
    store.uninstall()
    store.close()
    gone = connection.execute("SELECT to_regnamespace(%s)", [other]).fetchone()
    assert gone == (None,)


def test_a_script_grants_a_role_what_workers_need(
    plain: PostgresStore,
    worker: PostgresStore,
    connection: psycopg.Connection,
    schema: str,
    role: str,
    psql: Callable[[str], None],
) -> None:
    """Also where functions are not everybody's, and to a name that has to be quoted."""
    psql(plain.migration_sql(after=0, role=role))
    revoke = sql.SQL("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {} FROM PUBLIC")
    connection.execute(revoke.format(sql.Identifier(schema)))

    use_every_verb(worker)


def test_a_script_leaves_roles_what_they_could_do(
    plain: PostgresStore,
    worker: PostgresStore,
    connection: psycopg.Connection,
    schema: str,
    role: str,
    psql: Callable[[str], None],
) -> None:
    """A migration makes tables and functions that nobody was granted yet."""
    make_older(connection, schema, 1)
    granted = sql.SQL(
        "GRANT USAGE ON SCHEMA {s} TO {role}; GRANT SELECT, INSERT, UPDATE ON {s}.streams TO {role}"
    )
    connection.execute(granted.format(s=sql.Identifier(schema), role=sql.Identifier(role)))

    psql(plain.migration_sql())

    use_every_verb(worker)


@pytest.mark.parametrize("after", [_schema.VERSION + 1, 99, -1, 1.5, True, "1"])
def test_a_version_that_there_is_not_has_no_script(after: Any) -> None:
    store = open_store("postgresql://127.0.0.1:1/shop")

    with pytest.raises(UsageError, match=rf"after=.*0 .* to {_schema.VERSION}"):
        store.migration_sql(after=after)


@pytest.mark.parametrize("name", ["", "public", "none"])
def test_a_script_for_a_role_that_can_be_none_is_refused(name: str) -> None:
    store = open_store("postgresql://127.0.0.1:1/shop")

    with pytest.raises(UsageError, match="role"):
        store.migration_sql(after=0, role=name)


def test_the_script_is_told_without_a_connection() -> None:
    store = open_store("postgresql://127.0.0.1:1/shop", schema="events")

    script = store.migration_sql(after=0)

    assert "BEGIN;" in script
    assert 'CREATE TABLE "events".messages' in script
    assert script.endswith("COMMIT;\n")


def test_a_newer_schema_is_left_alone(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    migrations = sql.Identifier(schema, "migrations")
    connection.execute(sql.SQL("INSERT INTO {} VALUES (999, now(), '')").format(migrations))

    for verb in (plain.installed, plain.install, plain.migrate, plain.migrations):
        with pytest.raises(SchemaError, match="upgrade"):
            verb()

    connection.execute(sql.SQL("DELETE FROM {} WHERE version = 999").format(migrations))


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("functions", "are_replaced"),
    [("", True), ("0.0.1 abc", True), ("0.1.0 abc", True), ("99.0 abc", False)],
)
def test_functions_of_an_older_release_are_replaced_and_newer_ones_left(
    plain: PostgresStore,
    connection: psycopg.Connection,
    schema: str,
    functions: str,
    are_replaced: bool,
) -> None:
    """A process of older code that restarts during a deploy takes nothing back."""
    plain.install()
    update = sql.SQL("UPDATE {} SET functions = {}")
    connection.execute(update.format(sql.Identifier(schema, "migrations"), functions))

    assert plain.install() == are_replaced
    assert not plain.install()
    assert plain.installed()


def test_functions_that_differ_in_form_are_replaced_and_the_users_stay(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    """Parameters, what is returned, and functions that are no more."""
    plain.install()
    expected = catalogue(connection, schema)
    own = sql.Identifier(schema)
    older = sql.SQL(
        "DROP FUNCTION {s}.heartbeat(text);"
        "CREATE FUNCTION {s}.heartbeat(p_worker text) RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION {s}.now(p_zone text) RETURNS text LANGUAGE sql AS 'SELECT p_zone';"
        "CREATE FUNCTION {s}.gone() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "COMMENT ON FUNCTION {s}.heartbeat IS 'part of Sourced';"
        "COMMENT ON FUNCTION {s}.now(text) IS 'part of Sourced';"
        "COMMENT ON FUNCTION {s}.gone IS 'part of Sourced';"
        "CREATE FUNCTION {s}.stop() RETURNS text LANGUAGE sql AS $$SELECT 'the user''s'$$;"
        "UPDATE {s}.migrations SET functions = '0.0.1 abc'"
    )
    connection.execute(older.format(s=own))

    plain.install()
    kept = connection.execute(sql.SQL("SELECT {}.stop()").format(own)).fetchone()
    connection.execute(sql.SQL("DROP FUNCTION {}.stop()").format(own))

    assert kept == ("the user's",)
    assert catalogue(connection, schema) == expected


def test_a_worker_goes_on_when_functions_are_replaced_under_it(
    plain: PostgresStore, url: str, connection: psycopg.Connection, schema: str
) -> None:
    """What its connections have prepared is made anew by the server."""
    plain.install()
    running = open_store(url, pool_size=1)
    for _ in range(8):
        running.append([message("a")])
    update = sql.SQL("UPDATE {} SET functions = ''")
    connection.execute(update.format(sql.Identifier(schema, "migrations")))

    replaced = plain.install()
    after = running.append([message("a")])

    assert replaced
    assert after.messages[0].seq == 9
    running.close()


def test_a_call_whose_functions_are_replaced_meanwhile_is_done_all_the_same(
    plain: PostgresStore, url: str, connection: psycopg.Connection, schema: str
) -> None:
    """It waits inside one for a stream; the functions that it goes on to are gone by then."""
    plain.install()
    running = open_store(url, pool_size=1)
    for _ in range(8):
        running.append([message("a"), message("b")])
    update = sql.SQL("UPDATE {} SET functions = ''")
    connection.execute(update.format(sql.Identifier(schema, "migrations")))

    with ThreadPoolExecutor(1) as pool, psycopg.connect(**parameters_of(connection)) as holder:
        plain.bind(holder).append([message("b")])
        appending = pool.submit(running.append, [message("a"), message("b")])
        until_waiting(connection, holder)
        assert plain.install()
        holder.commit()

        assert [each.seq for each in appending.result().messages] == [9, 10]
    running.close()


def test_a_migration_that_waits_for_a_transaction_lets_others_append(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    make_older(connection, schema, 2)

    with ThreadPoolExecutor(1) as pool, psycopg.connect(**parameters_of(connection)) as holder:
        lock = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE")
        holder.execute(lock.format(sql.Identifier(schema, "deliveries")))
        migrating = pool.submit(plain.migrate)
        until_waiting(connection, holder)
        for _ in range(5):
            began = time.monotonic()
            connection.execute("SET lock_timeout = '5s'")
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE false").format(sql.Identifier(schema, "deliveries"))
            )
            assert time.monotonic() - began < 2  # a tenth, and what the machine has to do besides
        assert not migrating.done()
        holder.commit()

        assert [one.version for one in migrating.result()] == [3]


def parameters_of(connection: psycopg.Connection) -> dict[str, Any]:
    """What another connection to the same database is opened with."""
    return {**connection.info.get_parameters(), "password": connection.info.password}


def until_waiting(connection: psycopg.Connection, holder: psycopg.Connection) -> None:
    """Return when somebody waits for what the holder has locked."""
    query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    deadline = time.monotonic() + 20
    while not connection.execute(query, [holder.info.backend_pid]).fetchall():
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.005)


def test_uninstall_leaves_what_is_the_users(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    own = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE TABLE {}.mine ()").format(own))
    make = "CREATE FUNCTION {}.start() RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    connection.execute(sql.SQL(make).format(own))

    plain.uninstall()

    assert connection.execute(RELATIONS.encode(), {"schema": schema}).fetchall() == [
        ("mine", "r", None)
    ]
    assert [name for name, *_ in connection.execute(FUNCTIONS.encode(), {"schema": schema})] == [
        "start"
    ]
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(own))


# --- roles ----------------------------------------------------------------------------------------


def use_every_verb(store: PostgresStore) -> None:
    """Do once whatever a worker or an operator may do."""
    given = Given(store, FakeClock())
    store.register("Old", ["added"])
    store.register("G", ["added"], was=["Old"])
    store.append([message("a"), message("b"), message("c")], expect={"a": ExpectedSeq(0)})
    worker = given.worker()
    assert store.heartbeat(worker)
    first, second, third = sorted(store.claim("G", worker), key=lambda claim: claim.stream_id)
    (pending,) = store.read_pending([first], known_types=["added"], limits=ReadLimits())
    snapshot = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")
    due = ScheduledMessage(message=message("d"), due_at=store.now())
    store.commit(
        worker,
        [
            StreamCommit(
                claim=first,
                ack_seq=pending.looked_to,
                append=(message("e"),),
                schedule=(due,),
                snapshot=snapshot,
                sync=lambda _connection: None,
            )
        ],
    )
    store.retry(second, Retry(after=timedelta(minutes=1), error="{}"))
    store.park(third, Park(error="{}"))
    assert store.unpark("G") == 2
    store.skip("G", "b", 1)
    assert store.release(store.claim("G", worker)) > 0
    assert store.promote_due().moved == 1
    later = message("f")
    store.schedule([ScheduledMessage(message=later, due_at=store.now() + timedelta(days=1))])
    assert store.cancel(later.id)
    now = message("g")
    store.handle_now(UnitOfWork(messages=(now,), handled={("G", "g"): frozenset({now.id})}))
    assert not store.trip_breaker("G", more_than=9, within=timedelta(minutes=1))
    store.stop("G")
    store.start("G")
    list(store.reset("G"))
    store.reap(timedelta(minutes=1))
    assert store.poll(timedelta(minutes=1)).ready == {"G"}
    store.leave(worker)
    read_everything(store, now.id)
    with store.transaction() as transaction:
        transaction.append([message("a")])
    store.unsubscribe("G", ["added"])
    store.remove("G")


def read_everything(store: PostgresStore, message_id: UUID) -> None:
    """Look at everything there is to see."""
    assert len(store.read_all().messages) == 6
    assert len(store.read_stream("a").messages) == 1
    assert store.read_one(message_id) is not None
    assert len(store.trace(message_id)) == 1
    assert len(store.read_snapshots("G", ["a"], version=1)) == 1
    inspect = store.inspect
    inspect.groups(), inspect.deliveries(), inspect.streams(), inspect.recent_streams()
    inspect.workers(), inspect.schedule(), inspect.operations(), inspect.status()
    inspect.pending(message_id), inspect.progress("G", "a")
    assert store.installed()
    assert store.migrations()[0].applied_at is not None
    end = store.subscribe(lambda _groups: None)
    store._notify(frozenset({"G"}))
    end()


FORBIDDEN = [
    "DELETE FROM {s}.messages",
    "UPDATE {s}.messages SET payload = ''",
    "TRUNCATE {s}.messages",
    "DELETE FROM {s}.streams",
    "UPDATE {s}.operations SET actor = ''",
    "DELETE FROM {s}.operations",
    "UPDATE {s}.migrations SET version = 1",
    "SELECT setval('{s}.messages_position_seq', 1)",
    "SELECT setval('{s}.epochs', 1)",
    "CREATE TABLE {s}.own ()",
    "DROP FUNCTION {s}.now()",
    "SELECT * FROM {s}.mine",
    "SELECT {s}.mine()",
]


def test_a_role_with_the_least_rights_can_work_and_not_change_the_log(
    plain: PostgresStore,
    worker: PostgresStore,
    connection: psycopg.Connection,
    schema: str,
    role: str,
) -> None:
    own = sql.Identifier(schema)
    before = sql.SQL(
        "CREATE SCHEMA {s};"
        "CREATE TABLE {s}.mine ();"
        "CREATE FUNCTION {s}.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1';"
        "REVOKE ALL ON FUNCTION {s}.mine() FROM PUBLIC"
    )
    connection.execute(before.format(s=own))

    plain.install(role=role)

    use_every_verb(worker)
    for statement in FORBIDDEN:
        with worker.connection() as theirs, pytest.raises(InsufficientPrivilege):
            theirs.execute(statement.format(s=f'"{schema}"').encode())
    with pytest.raises(StoreError, match="may not"):
        worker.uninstall()
    connection.execute(sql.SQL("DROP TABLE {s}.mine; DROP FUNCTION {s}.mine()").format(s=own))


def test_a_role_with_the_least_rights_is_told_too_for_whom_it_waits(
    plain: PostgresStore, worker: PostgresStore, connection: psycopg.Connection, role: str
) -> None:
    """By pid: what another role does is not shown to it."""
    plain.install(role=role)
    with worker.connection() as theirs:
        theirs.execute("SET lock_timeout = '0.2s'")
    connection.execute("BEGIN")
    plain.bind(connection).append([message("a")])

    with pytest.raises(StoreUnavailableError) as waited:
        worker.append([message("a")])
    connection.execute("ROLLBACK")

    assert f"pid {connection.info.backend_pid} (" in str(waited.value)


def test_a_role_that_could_work_can_work_after_a_migration(
    plain: PostgresStore,
    worker: PostgresStore,
    connection: psycopg.Connection,
    schema: str,
    role: str,
) -> None:
    """Also where functions are not everybody's."""
    make_older(connection, schema, 1)
    names = {"s": sql.Identifier(schema), "role": sql.Identifier(role)}
    granted = sql.SQL(
        "GRANT USAGE ON SCHEMA {s} TO {role};"
        "GRANT SELECT, INSERT, UPDATE ON {s}.streams TO {role};"
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {s} GRANT EXECUTE ON FUNCTIONS TO postgres"
    )
    connection.execute(granted.format(**names))

    plain.migrate()
    revoke = sql.SQL("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {s} FROM PUBLIC")
    connection.execute(revoke.format(**names))

    use_every_verb(worker)


@pytest.mark.parametrize("name", ["", "public", "PUBLIC", "none", "a\0b", "ü" * 32])
def test_a_role_that_can_be_none_or_is_everybody_is_refused(
    plain: PostgresStore, name: str
) -> None:
    """A name that is too long would be cut, and might be another's then."""
    with pytest.raises(UsageError, match="role"):
        plain.install(role=name)

    assert not plain.installed()


def test_a_role_that_does_not_exist_is_named(plain: PostgresStore) -> None:
    with pytest.raises(StoreError, match=r"no role 'nobody here'.*CREATE ROLE"):
        plain.install(role="nobody here")

    assert not plain.installed()


# --- identifiers and options ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "1a", "a-b", 'a"b', "a b", "a\n", "é", "PG_own", "x" * 64, "a;b", "information_schema"],
)
def test_a_schema_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(StoreUrlError, match="identifier"):
        open_store("postgresql://localhost/shop", schema=name)


def test_a_schema_may_be_named_like_a_keyword(sourced_postgres: str) -> None:
    store = open_store(sourced_postgres, schema="Select")
    store.install()

    assert store.append([message("a")]).messages[0].seq == 1

    store.uninstall()
    store.close()


@pytest.mark.parametrize(
    "query", ["nonsense=1", "pool_size=many", "pool_size=0", "hints=perhaps", "lock_timeout=-1"]
)
def test_an_option_that_is_unknown_or_does_not_fit_is_refused(query: str) -> None:
    with pytest.raises(StoreUrlError) as refused:
        open_store(f"postgresql://ada:secret@localhost/shop?{query}")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        {"pool_size": "8"},
        {"pool_size": True},
        {"hints": "off"},
        {"pool_timeout": 30},
        {"lock_timeout": 5.0},
        {"transaction_limit": None},
        {"application_name": "a\0b"},
        {"application_name": None},
        {"schema": None},
    ],
)
def test_an_option_of_another_kind_is_refused(option: dict[str, Any]) -> None:
    """When the store is opened, not when the option is first used."""
    (name,) = option

    with pytest.raises(StoreUrlError, match=name):
        open_store("postgresql://localhost/shop", **option)


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(StoreUrlError, match="pool_size"):
        open_store("postgresql://localhost/shop", pool=3)


def test_a_server_that_cannot_be_reached_says_so_without_the_password() -> None:
    store = open_store(
        "postgresql://ada:secret@127.0.0.1:1/shop?pool_timeout=0.2&connect_timeout=1"
    )

    with pytest.raises(StoreUnavailableError) as unavailable:
        store.installed()
    store.close()

    assert "127.0.0.1:1" in str(unavailable.value)
    told = [str(unavailable.value), repr(unavailable.value.__cause__), repr(store)]
    assert not [text for text in told if "secret" in text]
