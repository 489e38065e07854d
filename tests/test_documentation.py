"""Every Python block of every page runs, from top to bottom, and console blocks say the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")])
# `python` blocks run, console sessions (`>>>`) included; the others are shown only.
LANGUAGES = {"console", "ini", "json", "mermaid", "python", "sh", "sql", "text", "toml", "yaml"}

# Pages need every package, and what they show must hold on every interpreter.
pytestmark = pytest.mark.integration
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path) -> list[str]:
    """What stands behind the opening fence of each block."""
    return re.findall(r"^[ \t>]*(?:```+|~~~+)(.*)$", page.read_text(), re.MULTILINE)[::2]


@each_page
def test_every_block_names_its_language(page: Path) -> None:
    assert set(fences(page)) <= LANGUAGES


@each_page
def test_every_python_block_runs(page: Path, tmp_path: Path) -> None:
    script = Path(__file__).parent / "run_page.py"

    ran = subprocess.run(
        [sys.executable, "-W", "error", script, page],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # pages show examples
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "python" not in fences(page) or int(ran.stdout.split()[-1]) > 0


@pytest.mark.parametrize(
    "name", ["shop", "fastapi_app", "starlette_app", "flask_app", "django_app"]
)
def test_the_web_apps_that_are_shown_are_those_that_are_served(name: str) -> None:
    page = (ROOT / "docs" / "how-to" / "web-apps.md").read_text()
    served = (ROOT / "examples" / "web" / f"{name}.py").read_text()

    assert f"```python\n{served}```" in page
