"""Makes what README and docs show of ``benchmarks/results``: tables, figures, numbers.

    python docs/make.py           writes what differs
    python docs/make.py --check   says what differs, and changes nothing

It needs nothing but Python. A test runs it with ``--check``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _make.badges import badges
from _make.figures import FIGURES
from _make.pages import made

DOCS = Path(__file__).parent
FOLDER = DOCS / "_static" / "figures"


def wanted() -> dict[Path, str]:
    """The text of every figure and of every page, as it should be."""
    files = {FOLDER / f"{name}.svg": make().svg() for name, make in FIGURES.items()}
    files |= {FOLDER / f"badge-{name}.svg": svg for name, svg in badges().items()}
    for page in (DOCS.parent / "README.md", *sorted(DOCS.glob("**/*.md"))):
        if not page.relative_to(DOCS.parent).match("docs/_build/**"):
            files[page] = made(page.read_text(encoding="utf-8"), page.parent)
    return files


def differing() -> dict[Path, str]:
    """Those that are not as they should be."""
    files = wanted()
    return {
        path: text
        for path, text in files.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    found = differing()
    for path in found:
        print(f"{'differs' if check else 'written'}: {path.relative_to(DOCS.parent)}")
    if check:
        sys.exit(bool(found))
    # The index of results depends on what the other pages show, and so on the first turn.
    while found:
        for path, text in found.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        found = differing()


if __name__ == "__main__":
    main()
