"""README and the pages of docs: their code, their commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *(
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if "_build" not in path.parts
    ),
]
_BASH = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Command(NamedTuple):
    """A line that calls zojax.

    Attributes:
      arguments: What stands after ``zojax``.
      devices: How many devices the line splits a CPU into.
      output: The file that it is written to, if any.
    """

    arguments: list[str]
    devices: int
    output: str | None

    @property
    def asks_for_help(self) -> bool:
        return not {"--help", "--defaults"}.isdisjoint(self.arguments)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[Command]:
    """The calls of zojax that a page shows, in order."""
    found: list[Command] = []
    for block in _BASH.finditer(read(page)):
        for line in block[1].replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if "zojax" not in words:
                    continue
                before, after = words[: words.index("zojax")], words[words.index("zojax") + 1 :]
                output = None
                if ">" in after:
                    after, output = after[: after.index(">")], after[after.index(">") + 1]
                flag = next((w for w in before if w.startswith("XLA_FLAGS=")), "=1")
                found.append(Command(after, int(flag.rsplit("=", 1)[1]), output))
    return found


WITH_COMMANDS = [page for page in PAGES if commands(page)]
