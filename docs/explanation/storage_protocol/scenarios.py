"""The scenarios: who does what at the same time, and what goes wrong if a verb did it otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from storage_protocol.append import Append
from storage_protocol.choices import BUILT, Choices
from storage_protocol.handle_now import HandleNow
from storage_protocol.operators import Leave, Skip, Unpark
from storage_protocol.program import Program
from storage_protocol.register import Register
from storage_protocol.reset import Reset
from storage_protocol.search import Bounds
from storage_protocol.unsubscribe import Remove, Unsubscribe
from storage_protocol.worker import Worker
from storage_protocol.world import Budget

__all__ = ["SCENARIOS", "Scenario", "Wrong"]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Another way to do something.

    Attributes:
        what: it, in a few words.
        choices: of the store that does it so.
        breaks: the rule that does not hold then; "" if all hold within these bounds.
    """

    what: str
    choices: Choices
    breaks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Processes at the same time.

    Attributes:
        name: who they are.
        bounds: where they begin.
        wrong: ways that are not the store's.
        built: the store's.
        is_long: whether the search takes more than a few seconds.
    """

    name: str
    bounds: Bounds
    wrong: tuple[Wrong, ...] = ()
    built: Choices = BUILT
    is_long: bool = False


def wrong(what: str, breaks: str, **choices: Any) -> Wrong:
    """Return a way that differs from what was built in some choices."""
    return Wrong(what, replace(BUILT, **choices), breaks)


def pending(*programs: Program, **bounds: Any) -> Bounds:
    """Return bounds in which one `c` in stream A is pending for group G."""
    return Bounds(programs=programs, **{"log": {"A": "c"}, "pending": [("G", "A")], **bounds})


def drained(*programs: Program, **bounds: Any) -> Bounds:
    """Return bounds in which group G has handled both `c` in stream A."""
    return Bounds(programs=programs, **{"log": {"A": "cc"}, **bounds})


C, TO_B = ("A", "c"), ("B", "c")
TWO = {"A": "c", "B": "c"}
BOTH = [("G", "A"), ("G", "B")]

CLAIMS = (
    Scenario(
        name="a commit against another worker's; a lease ends",
        bounds=pending(Worker("W1"), Worker("W2"), budget=Budget(reaps=1)),
        wrong=(
            wrong("claims checked before the locks", "order", checks_claims="before locks"),
            wrong("claims never checked", "order", checks_claims="never"),
        ),
    ),
    Scenario(
        name="two threads of one process and one of another; a lease ends",
        bounds=pending(
            Append((C,)),
            Worker("W1", messages=1),
            Worker("W1", messages=1),
            Worker("W2", messages=1),
            budget=Budget(reaps=1),
        ),
        wrong=(
            wrong(
                "epochs from the row, next_seq not compared",
                "order",
                epochs="row",
                compares_next_seq=False,
            ),
        ),
        is_long=True,
    ),
    Scenario(
        name="two threads of one process; a lease ends",
        bounds=pending(Append((C,)), Worker("W1"), Worker("W1"), budget=Budget(reaps=1)),
        wrong=(wrong("epochs from the row, next_seq compared", "", epochs="row"),),
    ),
    Scenario(
        name="two threads of one process; a reset, and a lease ends",
        bounds=pending(
            Reset("G", "A"),
            Worker("W1", messages=1),
            Worker("W1", messages=1),
            budget=Budget(reaps=1),
        ),
        wrong=(wrong("epochs from the row, next_seq compared", "replay", epochs="row"),),
    ),
    Scenario(
        name="a crash of the server loses a claim; claims are kept after a part",
        bounds=pending(
            Worker("W1", ways={"keep"}),
            Worker("W1", ways={"keep"}),
            log={"A": "cc"},
            budget=Budget(crashes=1),
        ),
        wrong=(wrong("next_seq not compared", "order", compares_next_seq=False),),
    ),
    Scenario(
        name="a crash of the server, an append and a reset; claims are kept after a part",
        bounds=pending(
            Append((C,)),
            Worker("W1", ways={"keep"}),
            Worker("W1", ways={"keep"}),
            Reset("G", "A"),
            log={"A": "cc"},
            budget=Budget(crashes=1),
        ),
        is_long=True,
    ),
    Scenario(
        name="a claim against an append and another worker's commit",
        bounds=pending(Append((C,)), Worker("W1"), Worker("W2")),
        wrong=(wrong("claim and read in one statement", "stuck", claims="reads at once"),),
    ),
    Scenario(
        name="claims of two streams, two workers, an append to both; a lease ends",
        bounds=pending(
            Append((C, TO_B)),
            Worker("W1", streams=2),
            Worker("W2", streams=2),
            log=TWO,
            pending=BOTH,
            budget=Budget(reaps=1),
        ),
        is_long=True,
    ),
    Scenario(
        name="kill -9 anywhere: two workers, two appends",
        bounds=pending(
            Append((C,), (C,)), Worker("W1"), Worker("W2"), budget=Budget(reaps=1, kills=1)
        ),
        is_long=True,
    ),
)

ACKS = (
    Scenario(
        name="an ack against an append",
        bounds=pending(Append((C,)), Worker()),
        wrong=(wrong("a snapshot older than the lock", "I2", acks="before the lock"),),
    ),
    Scenario(
        name="an ack with an output to its own stream",
        bounds=pending(Worker(), log={"A": "k"}, groups={"G": "ck"}),
        wrong=(wrong("ack and output in one statement", "I2", acks="before the lock"),),
    ),
    Scenario(
        name="a claim kept after a part, against an append",
        bounds=pending(Append((C,)), Worker(ways={"keep"}), log={"A": "cc"}),
        wrong=(wrong("kept whether or not anything follows", "I2", keep_looks=False),),
    ),
    Scenario(
        name="a decision against an append",
        bounds=pending(Append((C,)), Worker(), log={"A": "k"}, groups={"G": "k"}),
        wrong=(
            wrong("no expectation", "stale", expects="nothing"),
            wrong("expectation checked by an older snapshot", "stale", expects="before the lock"),
        ),
    ),
    Scenario(
        name="outputs to a stream that others append to and handle, two groups",
        bounds=Bounds(
            programs=(Append((TO_B,)), Worker("W1", "G"), Worker("W2", "H")),
            log={"A": "o", "B": "c"},
            groups={"G": "o", "H": "c"},
            pending=[("G", "A"), ("H", "B")],
        ),
    ),
)

LOCKED = (
    Scenario(
        name="commit_locked against an append",
        bounds=pending(
            Append((C,), (C,)), Worker(ways={"locked"}), log={"A": "k"}, groups={"G": "k"}
        ),
        wrong=(
            wrong("decided before the lock", "stale", decides="before the lock", expects="nothing"),
        ),
    ),
    Scenario(
        name="commit_locked against another worker; a lease ends",
        bounds=pending(
            Worker("W1", ways={"locked"}),
            Worker("W2"),
            log={"A": "k"},
            groups={"G": "k"},
            budget=Budget(reaps=1),
        ),
        wrong=(wrong("claim not checked after the lock", "order", checks_claims="never"),),
    ),
    Scenario(
        name="commit_locked that keeps its claim, against another worker; a lease ends",
        bounds=pending(
            Worker("W1", ways={"locked", "keep"}),
            Worker("W2", ways={"locked"}),
            log={"A": "kk"},
            groups={"G": "k"},
            budget=Budget(reaps=1),
        ),
        wrong=(
            wrong(
                "claim checked under the stream's lock only",
                "stuck",
                checks_claims="under the stream's",
            ),
        ),
    ),
    Scenario(
        name="commit_locked against an append, a commit of another group, a reset and handle now",
        bounds=Bounds(
            programs=(
                Append((C,)),
                Worker("W1", ways={"locked"}),
                Worker("W2", "H"),
                Reset("G", "A"),
                HandleNow("H", "A"),
            ),
            log={"A": "k"},
            groups={"G": "k", "H": "c"},
            pending=[("G", "A")],
        ),
        is_long=True,
    ),
    Scenario(
        name="two commit_locked of two groups on one stream",
        bounds=Bounds(
            programs=(Worker("W1", "G", ways={"locked"}), Worker("W2", "H", ways={"locked"})),
            log={"A": "k"},
            groups={"G": "k", "H": "kc"},
            pending=[("G", "A"), ("H", "A")],
        ),
    ),
    Scenario(
        name="two commit_locked of two streams, each of which may write to the other",
        bounds=Bounds(
            programs=(Worker("W1", "G", ways={"locked"}), Worker("W2", "H", ways={"locked"})),
            log={"A": "o", "B": "O"},
            groups={"G": "o", "H": "O"},
            pending=[("G", "A"), ("H", "B")],
        ),
        wrong=(wrong("outputs locked behind the claimed stream", "dead", writes_elsewhere=True),),
    ),
    Scenario(
        name="commit_locked with a sync, against a caller who writes the same row, then appends",
        bounds=pending(
            Append((C,), own_row="total"),
            Worker(ways={"locked"}, own_row="total"),
            log={"A": "k"},
            groups={"G": "k"},
        ),
        wrong=(
            wrong("nobody ends a deadlock in rows of the user's", "dead", ends_deadlocks=False),
        ),
        built=replace(BUILT, ends_deadlocks=True),
    ),
    Scenario(
        name="commit with a sync, against a caller who writes the same row, then appends",
        bounds=pending(
            Append((C,), own_row="total"),
            Worker(own_row="total"),
            log={"A": "k"},
            groups={"G": "k"},
        ),
    ),
)

RESETS = (
    Scenario(
        name="a reset against an append and a worker",
        bounds=drained(Append((C,)), Worker(), Reset("G", "A")),
        wrong=(wrong("read before the lock", "replay", resets="reads first"),),
    ),
    Scenario(
        name="a reset against two workers",
        bounds=pending(Worker("W1"), Worker("W2"), Reset("G", "A")),
        wrong=(wrong("read before the lock", "replay", resets="reads first"),),
    ),
    Scenario(
        name="a reset against a command handled now",
        bounds=drained(Worker(), HandleNow("G", "A"), Reset("G", "A")),
        wrong=(wrong("read before the lock", "order", resets="reads first"),),
    ),
    Scenario(
        name="a reset of two streams against an append to both",
        bounds=drained(Append((C, TO_B)), Worker(), Reset("G", "B", "A"), log=TWO),
        wrong=(wrong("read before the lock", "replay", resets="reads first"),),
    ),
    Scenario(
        name="a reset, and another in the middle of the replay; an append between",
        bounds=drained(Append((C,)), Worker(messages=1), Reset("G", "A"), Reset("G", "A")),
    ),
    Scenario(
        name="a reset against two workers, one of which is killed",
        bounds=drained(
            Append((C,)),
            Worker("W1", messages=1),
            Worker("W2", messages=1),
            Reset("G", "A"),
            budget=Budget(reaps=1, kills=1),
        ),
        is_long=True,
    ),
)

GROUPS = (
    Scenario(
        name="a new group against an append",
        bounds=Bounds(programs=(Append((C,)), Register("G", "c"), Worker()), groups={}),
        wrong=(wrong("beside appends", "I2", registers="at once, beside appends"),),
    ),
    Scenario(
        name="a new group with a past, against two appends",
        bounds=Bounds(
            programs=(Append((C,), (C,)), Register("G", "c"), Worker()), groups={}, log={"A": "c"}
        ),
        wrong=(
            wrong("all at once, which stops appends all the while", "", registers="at once, alone"),
            wrong(
                "all at once, against a caller in REPEATABLE READ",
                "I2",
                registers="at once, alone",
                isolation="repeatable read",
            ),
            wrong("against a caller in REPEATABLE READ", "I2", isolation="repeatable read"),
        ),
    ),
    Scenario(
        name="a new group against an append, a worker and a command handled now",
        bounds=Bounds(
            programs=(Append((C,)), Register("G", "c"), Worker(), HandleNow("G", "A")),
            groups={},
            log=TWO,
        ),
    ),
    Scenario(
        name="two processes make and fill the same group",
        bounds=Bounds(
            programs=(Register("G", "c"), Register("G", "c"), Worker()), groups={}, log=TWO
        ),
        wrong=(wrong("filled whatever its status", "I2", fill_checks=False),),
    ),
    Scenario(
        name="two processes make the same group, one with a type more",
        bounds=Bounds(
            programs=(Register("G", "c"), Register("G", "ce"), Worker()),
            groups={},
            log={"A": "e", "B": "c"},
        ),
        wrong=(wrong("the fill goes on where it was", "I2", fill_restarts=False),),
    ),
    Scenario(
        name="a type more for a group, against an append of it and of another",
        bounds=pending(
            Append((("A", "e"),), (C,)), Register("G", "ce"), Worker("W1"), log={"A": "ec"}
        ),
        wrong=(wrong("beside appends", "I2", registers="at once, beside appends"),),
    ),
    Scenario(
        name="types taken from a group, against an append and two workers",
        bounds=pending(
            Append((("A", "e"),), (C,)),
            Unsubscribe("G", "e"),
            Worker("W1"),
            Worker("W2"),
            log={"A": "e"},
            groups={"G": "ce"},
        ),
        wrong=(
            wrong("beside appends", "I2", unsubscribes="beside appends"),
            wrong("deliveries moved on before the lock", "I2", moves_on="reads first"),
        ),
        is_long=True,
    ),
    Scenario(
        name="types taken from a group whose delivery is claimed or parked there",
        bounds=pending(
            Unsubscribe("G", "e"),
            Worker("W1", ways={"park"}),
            log={"A": "ec"},
            groups={"G": "ce"},
        ),
        wrong=(wrong("moved on under its worker", "stuck", moving_frees=False),),
    ),
    Scenario(
        name="a group is removed while it is reset",
        bounds=drained(Remove("G", "c"), Reset("G", "A"), Worker("W1")),
        wrong=(wrong("the reset does not share subscriptions", "I2", resets_share=False),),
    ),
    Scenario(
        name="a group is removed while it is registered again, against an append",
        bounds=pending(Remove("G", "c"), Register("G", "c"), Append((C,)), Worker("W1")),
        wrong=(wrong("beside appends", "I2", removes="beside appends"),),
    ),
    Scenario(
        name="types taken from a group while others are added",
        bounds=pending(
            Append((C,)),
            Unsubscribe("G", "e"),
            Register("G", "cf"),
            Worker("W1"),
            log={"A": "e"},
            groups={"G": "ce"},
        ),
        wrong=(
            wrong(
                "each waits for the other's lock for good",
                "dead",
                unsubscribes="alone, the group first",
                gives_up=False,
            ),
        ),
    ),
    Scenario(
        name="a group renamed, against its old workers and the new one",
        bounds=pending(
            Append((C,)), Register("N", "c", was=["G"]), Worker("W1", "G"), Worker("W2", "N")
        ),
        wrong=(
            wrong("claims left with the old workers", "stuck", rename_frees=False),
            wrong("claims that are being made not waited for", "stuck", rename_waits=False),
        ),
    ),
    Scenario(
        name="a group renamed, and an old process that starts again",
        bounds=drained(
            Register("N", "c", was=["G"]),
            Register("N", "c", was=["G"]),
            Register("G", "c"),
            Worker("W1", "G"),
            Worker("W2", "N"),
        ),
        wrong=(wrong("former names forgotten", "replay", remembers_names=False),),
    ),
)

OTHERS = (
    Scenario(
        name="two appends to the same two streams",
        bounds=Bounds(programs=(Append((C, TO_B)), Append((TO_B, C))), log={"A": "", "B": ""}),
        wrong=(wrong("locked as they come", "dead", sorts_locks=False),),
    ),
    Scenario(
        name="two units over the same two streams, against an append to both",
        bounds=Bounds(
            programs=(
                HandleNow("G", "A", "B"),
                HandleNow("G", "B", "A"),
                Append((C, TO_B)),
                Worker(),
            ),
            log={"A": "", "B": ""},
        ),
        wrong=(wrong("locked as they come", "dead", sorts_locks=False),),
    ),
    Scenario(
        name="a command handled now against two appends and two workers",
        bounds=pending(Append((C,), (C,)), Worker("W1"), Worker("W2"), HandleNow("G", "A")),
    ),
    Scenario(
        name="a skip against an append and a worker",
        bounds=pending(Append((C,)), Worker(), Skip("G", "A")),
        wrong=(wrong("read before the lock", "I2", skips="reads first"),),
    ),
    Scenario(
        name="a parked stream against an append, an unpark and a skip",
        bounds=pending(Append((C,)), Worker(ways={"park"}), Unpark("G"), Skip("G", "A")),
    ),
    Scenario(
        name="a claim given back, while an operator looks whether it is held",
        bounds=pending(Worker("W1", ways={"release"}), Worker("W2"), Skip("G", "A")),
        wrong=(wrong("a release passes over what is locked", "stuck", releases="passes over"),),
    ),
    Scenario(
        name="a claim given back by a thread that lost it to another of its process",
        bounds=pending(
            Worker("W1", ways={"release", "retry", "park"}),
            Worker("W1", ways={"release", "retry", "park"}),
            Reset("G", "A"),
        ),
        wrong=(wrong("named by the worker only", "fence", gives_back="the worker's"),),
    ),
    Scenario(
        name="a worker leaves while another of its threads commits an output",
        bounds=Bounds(
            programs=(Worker("W1", "G"), Worker("W1", "H"), Leave("W1")),
            log={"A": "o", "B": "c"},
            groups={"G": "c", "H": "o"},
            pending=[("H", "A"), ("G", "B")],
        ),
        wrong=(wrong("deliveries freed one by one", "dead", lets_go="row by row"),),
    ),
)

LARGE = (
    Scenario(
        name="much at once: an append, three threads, a reset, a lease ends",
        bounds=pending(
            Append((C,)),
            Worker("W1", messages=1),
            Worker("W1", messages=1),
            Worker("W2", messages=1),
            Reset("G", "A"),
            budget=Budget(reaps=1),
        ),
        is_long=True,
    ),
    Scenario(
        name="much at once: an append, two workers that keep claims, a reset, a lease ends, a kill",
        bounds=pending(
            Append((C,)),
            Worker("W1", messages=1, ways={"keep"}),
            Worker("W2", messages=1, ways={"keep"}),
            Reset("G", "A"),
            budget=Budget(reaps=1, kills=1),
        ),
        is_long=True,
    ),
    Scenario(
        name="much at once: two appends, three threads that keep claims, a reset, a lease, a kill",
        bounds=pending(
            Append((C,), (C,)),
            Worker("W1", ways={"keep"}),
            Worker("W1", ways={"keep"}),
            Worker("W2", ways={"keep"}),
            Reset("G", "A"),
            budget=Budget(reaps=1, kills=1),
        ),
        is_long=True,
    ),
    Scenario(
        name="much at once: two streams, two workers, a reset, a command handled now",
        bounds=pending(
            Append((C, TO_B)),
            Worker("W1", messages=1, streams=2),
            Worker("W2", messages=1, streams=2),
            Reset("G", "A", "B"),
            HandleNow("G", "A"),
            log={"A": "c", "B": ""},
        ),
        is_long=True,
    ),
    Scenario(
        name="much at once: commits that lock first, claims given back, a skip, a lease ends",
        bounds=pending(
            Append((C,)),
            Worker("W1", messages=1, ways={"locked", "release"}),
            Worker("W2", messages=1, ways={"park"}),
            Skip("G", "A"),
            log={"A": "kc"},
            groups={"G": "kc"},
            budget=Budget(reaps=1),
        ),
        is_long=True,
    ),
)

SCENARIOS = (*CLAIMS, *ACKS, *LOCKED, *RESETS, *GROUPS, *OTHERS, *LARGE)
