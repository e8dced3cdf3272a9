"""Check that a tag is the version of pyproject.toml, and that CHANGELOG.md dates that version."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def problems(tag: str, root: Path) -> list[str]:
    """What keeps the tag from being a release; empty where nothing does."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag {tag} must be v{version}, the version in pyproject.toml")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} – \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md must have a heading '## {version} – YYYY-MM-DD'")
    return found


def main() -> None:
    """Check the tag that the command line names."""
    found = problems(sys.argv[1], Path(__file__).parents[1])
    for problem in found:
        print(f"error: {problem}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
