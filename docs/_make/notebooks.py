"""The notebooks, each with a badge that opens it in Colab.

Colab opens notebooks of a public repository by its address, which pyproject.toml names when there
is one (``[project.urls]``, ``Repository``). Without one the table says how to upload a notebook.
"""

from __future__ import annotations

from _make.badges import repository

NOTEBOOKS = {
    "examples/quickstart.ipynb": "the main job step by step, with a plot",
    "examples/write_your_own.ipynb": "a direction, an estimator and a rule of your own",
}


_BADGE = "![Open in Colab](docs/_static/figures/badge-open-in.svg)"
_UPLOAD = "In [Colab](https://colab.research.google.com), choose File, then Upload notebook."


def notebooks() -> list[str]:
    """A row for each notebook, as README shows it."""
    address = repository()
    if address is None:
        rows = [f"| {_link(path)} | {shows} |" for path, shows in NOTEBOOKS.items()]
        return ["| notebook | shows |", "|---|---|", *rows, "", _UPLOAD]
    colab = address.replace("https://github.com/", "https://colab.research.google.com/github/")
    rows = [
        f"| {_link(path)} | {shows} | [{_BADGE}]({colab}/blob/main/{path}) |"
        for path, shows in NOTEBOOKS.items()
    ]
    return ["| notebook | shows | opens |", "|---|---|---|", *rows]


def _link(path: str) -> str:
    return f"[{path}]({path})"
