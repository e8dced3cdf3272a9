"""Badges that say what pyproject.toml says: no server is asked, and none can be wrong."""

from __future__ import annotations

import tomllib
from xml.sax.saxutils import escape

from _make.results import ROOT

_CHARACTER = 7  # pixels, about


def badges() -> dict[str, str]:
    """The SVG of each badge, by its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    jax = next(need for need in project["dependencies"] if need.startswith("jax"))
    said = {
        "version": project["version"],
        "python": project["requires-python"].replace(">=", "≥ "),
        "jax": jax.removeprefix("jax").replace(">=", "≥ "),
        "licence": project["license"],
    }
    return {name: _svg(name, text) for name, text in said.items()}


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
