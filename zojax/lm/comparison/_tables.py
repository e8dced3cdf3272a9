"""A study's table in Markdown, LaTeX and HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

from zojax.lm.comparison._study import Study
from zojax.lm.comparison._summary import Entry
from zojax.passes import BACKWARD


class _Format(NamedTuple):
    plain: Callable[[str], str]  # escapes a text
    value: Callable[[str, str, bool], str]  # from mean, error (or ""), whether clearly best
    table: Callable[[str, list[str], list[list[str]]], str]  # from caption, header, rows


def tables(study: Study, entries: Sequence[Entry]) -> dict[str, str]:
    """Return texts by file ending, ``md``, ``tex`` and ``html``, with a table for each model."""
    return {ending: _text(study, entries, form) for ending, form in _FORMATS.items()}


def caption(study: Study, entries: Sequence[Entry]) -> str:
    """Describe the figures of the table."""
    of_chance = [e for e in entries if study.methods[e.cell.method].baseline != "zero-shot"]
    fewest = min((len(entry.scores) for entry in of_chance), default=len(study.seeds))
    seeds = f"{len(study.seeds)} seeds"
    if fewest < len(study.seeds):
        seeds = f"{fewest} to {seeds} (the study is not finished)"
    chosen = "the step that did best on dev" if study.report == "best" else "the last step"
    return (
        f"Test score in percent of {chosen}, mean ± standard error over {seeds}, "
        f"at {study.forward_passes} forward passes a run (a backward pass counts as {BACKWARD}); "
        "settings chosen on dev with a seed of their own. Bold: better than every other of its "
        "column, each by Welch's t-test at 5%."
    )


def _text(study: Study, entries: Sequence[Entry], form: _Format) -> str:
    parts: list[str] = []
    for model in study.models:
        of_model = [entry for entry in entries if entry.cell.model == model]
        if of_model:
            title = f"{study.title}: {model}. {caption(study, entries)}"
            header = ["method", "adapter", *study.tasks]
            rows = _rows(study, of_model, form)
            parts.append(form.table(form.plain(title), [form.plain(h) for h in header], rows))
    return "\n".join(parts)


def _rows(study: Study, entries: Sequence[Entry], form: _Format) -> list[list[str]]:
    by_place = {(e.cell.method, e.cell.adapter, e.cell.task): e for e in entries}
    lines = dict.fromkeys((e.cell.method, e.cell.adapter) for e in entries)
    rows: list[list[str]] = []
    for method, adapter in lines:
        shown = "" if study.methods[method].baseline else adapter
        row = [form.plain(method), form.plain(shown)]
        for task in study.tasks:
            entry = by_place.get((method, adapter, task))
            row.append(_value(entry, form) if entry else "")
        rows.append(row)
    return rows


def _value(entry: Entry, form: _Format) -> str:
    error = "" if entry.error is None else f"{100 * entry.error:.1f}"
    return form.value(f"{100 * entry.mean:.1f}", error, entry.clearly_best)


def _markdown(title: str, header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", "---", *["---:"] * (len(header) - 2)], *rows]
    return f"{title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown_value(mean: str, error: str, best: bool) -> str:
    value = f"{mean} ± {error}" if error else mean
    return f"**{value}**" if best else value


def _latex(title: str, header: list[str], rows: list[list[str]]) -> str:
    body = "".join(f"{' & '.join(row)} \\\\\n" for row in rows)
    return (
        f"\\begin{{table}}\n\\caption{{{title}}}\n"
        f"\\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}\n\\hline\n"
        f"{' & '.join(header)} \\\\\n\\hline\n{body}\\hline\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _latex_plain(text: str) -> str:
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", "$\\pm$")


def _latex_value(mean: str, error: str, best: bool) -> str:
    value = f"{mean} $\\pm$ {error}" if error else mean
    return f"\\textbf{{{value}}}" if best else value


def _html(title: str, header: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>\n"

    body = "".join(line(row, "td") for row in rows)
    return (
        f"<table>\n<caption>{title}</caption>\n<thead>\n{line(header, 'th')}</thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n"
    )


def _html_value(mean: str, error: str, best: bool) -> str:
    value = f"{mean} ± {error}" if error else mean
    return f"<b>{value}</b>" if best else value


def _markdown_plain(text: str) -> str:
    return text.replace("|", "\\|")


_FORMATS = {
    "md": _Format(_markdown_plain, _markdown_value, _markdown),
    "tex": _Format(_latex_plain, _latex_value, _latex),
    "html": _Format(html.escape, _html_value, _html),
}
