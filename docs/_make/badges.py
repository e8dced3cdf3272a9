"""Badges that say what pyproject.toml says: no server is asked, and none can be wrong."""

from __future__ import annotations

import tomllib
from typing import Any
from xml.sax.saxutils import escape

from _make.results import ROOT

_CHARACTER = 7  # pixels, about


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def repository() -> str | None:
    """The public repository's address on the host that Colab opens; None where there is none."""
    address = project().get("urls", {}).get("Repository", "").rstrip("/")
    return address if address.startswith("https://github.com/") else None


def badges() -> dict[str, str]:
    """The SVG of each badge, by its name."""
    about = project()
    jax = next(need for need in about["dependencies"] if need.startswith("jax"))
    said = {
        "version": about["version"],
        "python": about["requires-python"].replace(">=", "≥ "),
        "jax": jax.removeprefix("jax").replace(">=", "≥ "),
        "licence": about["license"],
    }
    if repository():
        said["open in"] = "Colab"
    return {name.replace(" ", "-"): _svg(name, text) for name, text in said.items()}


def _svg(name: str, text: str) -> str:
    left, right = (_CHARACTER * len(part) + 12 for part in (name, text))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" \
role="img" font-family="Verdana, Helvetica, Arial, sans-serif" font-size="11">
<title>{escape(name)}: {escape(text)}</title>
<rect width="{left + right}" height="20" rx="3" fill="#0072b2"/>
<rect width="{left}" height="20" rx="3" fill="#444444"/>
<text x="{left / 2}" y="14" text-anchor="middle" fill="#ffffff">{escape(name)}</text>
<text x="{left + right / 2}" y="14" text-anchor="middle" fill="#ffffff">{escape(text)}</text>
</svg>
"""
