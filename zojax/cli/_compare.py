"""The command ``zojax compare``: a live table of scores on a terminal, plain lines otherwise."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zojax.cli._arguments import CompareArguments
from zojax.lm.comparison import Record, Run, Study, StudyObserver, check, compare, load_study

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table


def run_compare(arguments: CompareArguments) -> None:
    """Run the study, and print its table and where the files are.

    Raises:
      FileExistsError, FileNotFoundError, ImportError, ValueError: As for
        :func:`zojax.lm.comparison.load_study` and :func:`zojax.lm.comparison.compare`.
    """
    study = load_study(arguments.study)
    watcher = LiveTable() if sys.stdout.isatty() else Lines()
    if arguments.check:
        print(f"{check(study, watcher)} runs")
        return
    folder = arguments.output or Path("runs") / arguments.study.stem
    compare(study, folder, jobs=arguments.jobs, observer=watcher)
    print((folder / "table.md").read_text(encoding="utf-8"))
    print(f"written: {folder}")


class Lines(StudyObserver):
    """Prints a line for each finished run."""

    def __init__(self) -> None:
        self._study: Study | None = None
        self._runs = self._done = self._made = 0
        self._start = time.perf_counter()

    def line(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def status(self, message: str) -> None:
        """Print a line about what begins now."""
        self.line(f"{message} ...")

    def planned(self, study: Study, runs: int) -> None:
        """Print the number of runs."""
        self._study, self._runs = study, runs
        self._start = time.perf_counter()
        self.line(f"{study.title}: {runs} runs")

    def found(self, made: Sequence[tuple[Run, Record]]) -> None:
        """Print how many runs were finished before."""
        self._done += len(made)
        if made:
            self.line(f"{len(made)} of the runs were made before")

    def ended(self, run: Run, record: Record) -> None:
        """Print the scores of a finished run."""
        self._done += 1
        self._made += 1
        name = " / ".join(run.cell.name.values())
        point = ", ".join(f"{key} {value}" for key, value in run.point.items())
        scores = f"dev {record['dev']:.1%}"
        if run.stage == "report":
            scores += f", test {record['test']:.1%}"
        self.line(
            f"[{self._done}/{self._runs}, {self._left()} left] {name}: "
            f"{'tuning' if run.stage == 'tune' else f'seed {run.seed}'}"
            f"{f', {point}' if point else ''}: {'broke down' if 'failed' in record else scores}"
        )

    def _left(self) -> str:
        each = (time.perf_counter() - self._start) / max(self._made, 1)
        minutes = each * max(self._runs - self._done, 0) / 60
        return f"{minutes // 60:.0f} h {minutes % 60:02.0f} min"


class LiveTable(Lines):
    """Draws a table of the mean scores so far, and the last line below it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.live import Live

        self._scores: dict[tuple[str, ...], list[float]] = {}
        self._last = ""
        self._live = Live(refresh_per_second=2)

    def line(self, text: str) -> None:
        """Show a line in place of the previous one."""
        self._last = text
        if self._live.is_started:
            self._live.update(self._draw())
        else:
            super().line(text)

    def planned(self, study: Study, runs: int) -> None:
        """Draw the empty table."""
        super().planned(study, runs)
        self._live.start()
        self._live.update(self._draw())

    def found(self, made: Sequence[tuple[Run, Record]]) -> None:
        """Draw the table with the runs that were finished before."""
        for run, record in made:
            self._take(run, record)
        super().found(made)

    def ended(self, run: Run, record: Record) -> None:
        """Draw the table with the finished run."""
        self._take(run, record)
        super().ended(run, record)

    def stopped(self) -> None:
        """Stop updating the table; it stays on the terminal."""
        self._live.stop()

    def _take(self, run: Run, record: Record) -> None:
        if run.stage == "report":
            cell = run.cell
            place = (cell.model, cell.method, cell.adapter, cell.task)
            self._scores.setdefault(place, []).append(record["test"])

    def _draw(self) -> Group:
        from rich.console import Group

        study = self._study
        if study is None:
            return Group(self._last)
        return Group(*(self._table(study, model) for model in study.models), self._last)

    def _table(self, study: Study, model: str) -> Table:
        from rich.table import Table

        table = Table("method", "adapter", *study.tasks, title=model)
        for name, method in study.methods.items():
            for adapter in method.adapters if model in method.models else ():
                cells = [self._cell((model, name, adapter, task)) for task in study.tasks]
                table.add_row(name, "" if method.baseline else adapter, *cells)
        return table

    def _cell(self, place: tuple[Any, ...]) -> str:
        scores = self._scores.get(place)
        return f"{100 * statistics.mean(scores):.1f} ({len(scores)})" if scores else ""
