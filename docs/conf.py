"""Sphinx configuration: MyST pages, and the API reference from the docstrings."""

from __future__ import annotations

import os
import re
from importlib.metadata import version as installed_version

from docutils import nodes
from sphinx.application import Sphinx

project = "zojax"
author = "The zojax authors"
copyright = "The zojax authors, Apache-2.0"
release = version = installed_version("zojax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_inventories", "_make"]
html_theme = "furo"
html_title = f"zojax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # fields of NamedTuples are members as well
napoleon_custom_sections = ["Cost", "Error"]

# Names of other projects link to their pages, with no network: what these pages name is listed in
# _inventories. Read the Docs asks the projects first.
_ELSEWHERE = {
    "jax": "https://docs.jax.dev/en/latest/",
    "optax": "https://optax.readthedocs.io/en/latest/",
    "flax": "https://flax.readthedocs.io/en/latest/",
}
intersphinx_mapping = {
    name: (
        page,
        (None, f"_inventories/{name}.inv")
        if os.environ.get("READTHEDOCS")
        else f"_inventories/{name}.inv",
    )
    for name, page in _ELSEWHERE.items()
}
intersphinx_timeout = 10
# Where a type is defined, and where it is documented.
_DOCUMENTED = {
    "Array": "jax.Array",
    "optax._src.base.GradientTransformation": "optax.GradientTransformation",
    "optax._src.base.GradientTransformationExtraArgs": "optax.GradientTransformationExtraArgs",
    "jax._src.mesh.Mesh": "jax.sharding.Mesh",
    "jax._src.named_sharding.NamedSharding": "jax.sharding.NamedSharding",
    "jax._src.partition_spec.PartitionSpec": "jax.sharding.PartitionSpec",
    "jax._src.core.ShapeDtypeStruct": "jax.ShapeDtypeStruct",
}

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


def _name_as_documented(app: Sphinx, env: object, node: nodes.Element, content: object) -> None:
    """Let a type be found under the name that its project documents."""
    node["reftarget"] = _DOCUMENTED.get(node["reftarget"], node["reftarget"])


def setup(app: Sphinx) -> None:
    # Before intersphinx, which listens at the default priority of 500.
    app.connect("missing-reference", _name_as_documented, priority=400)
    # Before napoleon, which listens at the default priority of 500.
    app.connect("autodoc-process-docstring", _break_inline_sections, priority=100)
