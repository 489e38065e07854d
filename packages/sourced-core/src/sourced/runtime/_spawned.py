"""A process that was started with a lifeline: it is told to end, heard, killed and buried.

It is a program of its own, started anew. A fork of this process would have its locks in whatever
state they are, its connections, and the code that it loaded long ago.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sourced.runtime._children import Word
from sourced.runtime._lifeline import VARIABLE

__all__ = ["Spawned"]

LAST_WORDS = 1.0  # seconds for news that are still in the pipe when the process is gone


class Spawned:
    """A process and this side of its lifeline.

    Start it in a thread that lives as long as it is to live: on Linux it dies with that thread.

    Args:
        command: the program and its arguments.
        environment: it gets these variables, and the lifeline's.
        heard: called, in a thread, with each piece of news.
        ended: called, in a thread, with the return code when it is gone and all has been heard.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        heard: Callable[[dict[str, Any]], None],
        ended: Callable[[int], None],
    ) -> None:
        words, self._words = os.pipe()
        self._news, news = os.pipe()
        try:
            self._process = _started(command, environment, words, news)
        except BaseException:
            os.close(self._words)
            os.close(self._news)
            raise
        finally:
            os.close(words)
            os.close(news)
        self._heard, self._ended = heard, ended
        self._closing = threading.Lock()
        self._is_gone = False
        self._reader = threading.Thread(target=self._read, name="sourced-news", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name="sourced-child", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, word: Word) -> None:
        """Tell it to end; one that is gone is told nothing."""
        with self._closing, suppress(OSError):
            if not self._is_gone:  # its pipe's number may be another one's by now
                os.write(self._words, f"{word}\n".encode())

    def kill(self) -> None:
        """End it on the spot."""
        with suppress(OSError):
            self._process.kill()

    def _read(self) -> None:
        with suppress(OSError), os.fdopen(self._news, encoding="utf-8", errors="replace") as news:
            for line in news:
                with suppress(ValueError):
                    self._heard(json.loads(line))

    def _wait(self) -> None:
        code = self._process.wait()
        self._reader.join(LAST_WORDS)  # a process that the dead one has forked may keep the pipe
        with self._closing:
            self._is_gone = True
            os.close(self._words)
        self._ended(code)


def _started(
    command: Sequence[str], environment: Mapping[str, str], words: int, news: int
) -> subprocess.Popen[bytes]:
    if sys.platform == "win32":
        import msvcrt

        handles = [msvcrt.get_osfhandle(number) for number in (words, news)]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        line = ",".join(map(str, handles))
        return subprocess.Popen(
            command,
            env={**environment, VARIABLE: line},
            startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles}),
        )
    return subprocess.Popen(
        command, env={**environment, VARIABLE: f"{words},{news}"}, pass_fds=(words, news)
    )
