"""Workers in the background of a program that does something else, such as a web server.

```python
with app.workers(threads=4):  # plain threads: Flask, Django, scripts
    serve()

async with app.workers(threads=4):  # in the lifespan of an ASGI app
    yield
```

They belong to the process that started them: after a fork, the child has none and may start its
own. They touch no signals, which are the server's: whoever ends the server's process ends them by
leaving the block, by `stop`, or by ending the interpreter in an orderly way.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

from sourced._app import App
from sourced._engine import logger
from sourced._tally import Tally
from sourced.runtime._supervisor import Ended, Supervisor

__all__ = ["Workers"]

LAST_PATIENCE = 10.0
"""How much longer than its grace a supervisor may take, in seconds, to give back what it holds."""


class Workers:
    """A supervisor in a thread of its own; see the module's docstring and `App.workers`.

    Every method may be called from any thread, and again: started twice they run once, stopped
    twice they are stopped. Stopped, they may be started again.
    """

    def __init__(self, app: App, *, threads: int, groups: Any, grace: float) -> None:
        self._make: Callable[[], Supervisor] = lambda: Supervisor(
            app, threads=threads, groups=groups, grace=grace
        )
        self._grace = grace
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._last: Ended | None = None
        self._make()  # what is wrong with the arguments is told here

    @property
    def running(self) -> bool:
        """Whether workers of this process are at work."""
        run = self._run
        return run is not None and run.is_alive

    @property
    def ended(self) -> Ended | None:
        """How the last run ended; None before the first has."""
        return self._last

    @property
    def tally(self) -> Tally:
        """What this run, or the last one, has handled so far."""
        run = self._run
        if run is not None:
            return run.supervisor.tally
        return self._last.tally if self._last is not None else Tally()

    def start(self) -> Self:
        """Start; return when they are at work.

        What is in hand when the interpreter ends in an orderly way is finished or given back then,
        as `stop` does.

        Raises:
            StoreUnavailableError: the store could not be reached.
            SchemaError: it is not installed.
        """
        with self._lock:
            if self._run is None or not self._run.is_alive:
                self._run = _Run(self._make())
                try:
                    self._run.start()
                except BaseException:
                    self._run = None
                    raise
                atexit.register(self.stop)
        return self

    def stop(self) -> Ended | None:
        """Take nothing new, finish what is in hand within the grace, give back the rest.

        Returns:
            How the run ended; None if there was none in this process.

        Raises:
            BaseException: what ended the workers' threads, if something did.
        """
        with self._lock:
            run, self._run = self._run, None
            atexit.unregister(self.stop)
            if run is None:
                return None
            self._last = run.stop(self._grace + LAST_PATIENCE)
            return self._last

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_unless(self, abandoned: threading.Event) -> None:
        """Start; if that has been given up meanwhile, stop again."""
        self.start()
        if abandoned.is_set():
            self.stop()

    async def __aenter__(self) -> Self:
        from sourced._aio import in_thread, to_its_end

        abandoned = threading.Event()
        try:
            await in_thread(partial(self._start_unless, abandoned))
        except BaseException:  # if cancelled, the thread goes on, and nobody would stop them
            abandoned.set()
            await to_its_end(self.stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from sourced._aio import to_its_end

        await to_its_end(self.stop)


class _Run:
    """One run of a supervisor, in a thread of the process that made it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._thread = threading.Thread(target=self._work, name="sourced-supervisor", daemon=True)
        self._settled = threading.Event()
        self._ended: Ended | None = None
        self._error: BaseException | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it goes on; a thread does not survive a fork, and Python tells the child so."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run; return once the threads are at work, or raise why they cannot be."""
        self._thread.start()
        self._settled.wait()
        if self._error is not None:
            raise self._error

    def stop(self, patience: float) -> Ended | None:
        self.supervisor.stop()
        self._thread.join(patience)
        if self._thread.is_alive():
            logger.warning("the workers did not stop in %g s; the lease gives back", patience)
        if self._error is not None:
            raise self._error
        return self._ended

    def _work(self) -> None:
        try:
            self._ended = self.supervisor.run(started=self._settled.set)
        except BaseException as error:  # noqa: BLE001 - raised again where it is asked for
            self._error = error
            if self._settled.is_set():
                logger.exception("the workers have ended")
        finally:
            self._settled.set()
