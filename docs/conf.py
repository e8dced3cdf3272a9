"""Sphinx configuration: MyST pages, and the API reference from the docstrings."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "zojax"
author = "The zojax authors"
copyright = "The zojax authors, Apache-2.0"
release = version = installed_version("zojax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_make"]
html_theme = "furo"
html_title = f"zojax {release}"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of NamedTuples are members as well
napoleon_custom_sections = ["Cost", "Error"]

_INLINE_SECTION = re.compile(r"(Cost|Error): (.+)")


def _break_inline_sections(
    app: Sphinx, what: str, name: str, subject: object, options: object, lines: list[str]
) -> None:
    """Turn ``Cost: text`` into the section that napoleon knows."""
    broken: list[str] = []
    for line in lines:
        section = _INLINE_SECTION.fullmatch(line)
        broken += ["", f"{section[1]}:", f"  {section[2]}"] if section else [line]
    lines[:] = broken


def setup(app: Sphinx) -> None:
    # Before napoleon, which listens at the default priority of 500.
    app.connect("autodoc-process-docstring", _break_inline_sections, priority=100)
