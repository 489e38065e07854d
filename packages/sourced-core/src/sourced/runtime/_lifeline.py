"""What ties a process to the parent that started it: words come down, news go up.

Two pipes, whose numbers the child finds in its environment. The parent's words are `stop` (finish
what is in hand) and `now` (give it back at once); they are levels and not counted, so that a TERM
that reached the child as well, by Ctrl-C in a terminal or from systemd, makes nothing worse. If the
words end, the parent is dead: what is in hand is given back, and the process is gone within
seconds. On Linux the kernel kills it even before that, stuck or not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Self

from sourced.runtime._children import Word

__all__ = ["VARIABLE", "Lifeline"]

VARIABLE = "SOURCED_LIFELINE"
ORPHANS_PATIENCE = 3.0
FORCED_EXIT = 70
PR_SET_PDEATHSIG = 1


class Lifeline:
    """A child's side; made before anything that may take long, such as importing the app.

    Until it knows whom to tell, a word from the parent ends the process at once: nothing is in
    hand yet.

    Args:
        words: the pipe that is read.
        news: the pipe that is written.
    """

    def __init__(self, words: int, news: int) -> None:
        self._words = words
        self._news = os.fdopen(news, "w", encoding="utf-8")
        self._writing = threading.Lock()
        self._heeding = threading.Lock()
        self._told: Callable[[Word], object] | None = None

    @classmethod
    def inherited(cls) -> Self | None:
        """Return the line to the parent, if this process was started with one.

        It leaves the environment: what this process starts is no child of its parent.
        """
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        try:
            words, news = text.split(",")
            line = cls(_opened(int(words), os.O_RDONLY), _opened(int(news), os.O_WRONLY))
        except (OSError, ValueError):  # it came from somewhere else
            return None
        line._hold()
        return line

    def obey(self, told: Callable[[Word], object]) -> None:
        """Have something called, in a thread, with each word of the parent's."""
        with self._heeding:
            self._told = told

    def say(self, kind: str, **facts: Any) -> None:
        """Tell the parent something that JSON can hold; a parent that is gone is told nothing."""
        with self._writing, suppress(OSError, ValueError):
            self._news.write(json.dumps({"kind": kind, **facts}) + "\n")
            self._news.flush()

    def _hold(self) -> None:
        _die_with_parent()
        _be_a_child_to_signals()
        threading.Thread(target=self._listen, name="sourced-lifeline", daemon=True).start()

    def _listen(self) -> None:
        for word in self._heard():
            self._heed(word)
        self._heed("now")
        threading.Event().wait(ORPHANS_PATIENCE)
        os._exit(FORCED_EXIT)

    def _heard(self) -> Iterator[Word]:
        """Give the parent's words, until they end; a word may be dealt out in pieces."""
        text = b""
        with suppress(OSError):
            while piece := os.read(self._words, 64):
                *lines, text = (text + piece).split(b"\n")
                for line in lines:
                    yield "now" if line == b"now" else "stop"

    def _heed(self, word: Word) -> None:
        with self._heeding:
            told = self._told
            if told is None:
                os._exit(0)
        told(word)


def _die_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends, where it can."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError, ImportError):
            import ctypes

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _be_a_child_to_signals() -> None:
    """Let INT end what is still starting, as TERM does; HUP is the parent's affair."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, lambda *_: None)  # not ignored: that would be inherited


def _opened(number: int, mode: int) -> int:
    """Return the descriptor of an inherited pipe, which is not passed on."""
    if sys.platform == "win32":
        import msvcrt

        return msvcrt.open_osfhandle(number, mode)
    os.set_inheritable(number, False)
    return number
