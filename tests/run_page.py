"""Runs the Python blocks of one page, in order, as its reader would: in a fresh interpreter.

A script of its own, because pages define the same messages and actors again and again, and what a
process knows of them must be that page's alone.
"""

import doctest
import sys
from pathlib import Path
from types import ModuleType

from sybil import Document
from sybil.example import SybilFailure
from sybil.parsers.markdown import PythonCodeBlockParser

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(page: Path) -> int:
    """Returns the number of blocks and console lines that ran.

    A block that is a whole file of the examples is not run: the tests of that example do.

    Raises:
        SystemExit: a console session says something else; its place and both texts are on stderr.
    """
    reader = sys.modules["__main__"] = ModuleType("__main__")
    parser = PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS)
    document = Document.parse(str(page), parser)
    document.namespace = vars(reader)
    files = {file.read_text() for file in EXAMPLES.rglob("*.py")}
    examples = [each for each in document.examples() if str(each.parsed) not in files]
    for example in examples:
        try:
            example.evaluate()
        except SybilFailure as failure:
            raise SystemExit(f"{page}:{example.line}\n{failure}") from None
    return len(examples)


if __name__ == "__main__":
    print(run(Path(sys.argv[1])))
