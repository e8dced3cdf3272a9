"""Writes a result as the documentation reads it: a table, how it was made, on what, with what."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("zojax", "jax", "jaxlib", "flax", "optax", "transformers", "torch")


def write(name: str, title: str, rows: list[dict[str, Any]], caption: str = "") -> Path:
    """Write ``results/<name>.json``: one table, with command, versions and machine."""
    result = {
        "title": title,
        **({"caption": caption} if caption else {}),
        "rows": rows,
        "command": " ".join(["python", *sys.argv]),
        "versions": ", ".join(_versions()),
        "machine": _machine(),
        "commit": _commit(),
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _versions() -> list[str]:
    found = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    git = ["git", "-C", str(RESULTS.parent)]
    commit = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    changed = subprocess.check_output([*git, "status", "--porcelain", "--", "../zojax"], text=True)
    return commit + (", with uncommitted changes" if changed else "")


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"
