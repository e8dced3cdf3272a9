"""Check that a wheel holds what zojax needs at run time, and no more than 25 MB of it."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MAX_BYTES = 25 * 10**6
MODELS = ("zojax/lm/models/opt_mini/", "zojax/lm/models/roberta_mini/")
REQUIRED = (
    "zojax/py.typed",
    *(
        f"{model}{file}"
        for model in MODELS
        for file in ("README.md", "config.json", "tokenizer.json")
    ),
)


def problems(wheel: Path) -> list[str]:
    """What is wrong with the wheel; empty where nothing is."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    found = [f"{name} is missing" for name in REQUIRED if name not in names]
    weights = tuple(name for name in names if name.endswith((".safetensors", ".msgpack")))
    found += [f"{m} holds no weights" for m in MODELS if not any(n.startswith(m) for n in weights)]
    foreign = [n for n in names if n.startswith("tests/") or n.endswith((".png", ".gif"))]
    found += [f"{name} does not belong in it" for name in foreign]
    size = wheel.stat().st_size
    if size > MAX_BYTES:
        found.append(f"it is {size / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are allowed")
    return found


def main() -> None:
    """Check the wheel that the command line names."""
    wheel = Path(sys.argv[1])
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    found = problems(wheel)
    for problem in found:
        print(f"error: {problem}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
