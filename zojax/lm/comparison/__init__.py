"""Studies: a fair comparison of methods, described by one file.

Every run of a study has the same budget of forward passes. Settings are chosen from grids by their
dev scores, with a seed that is used for nothing else. Reported scores are measured on test, with
other seeds::

    study = zojax.lm.comparison.load_study("study.toml")
    zojax.lm.comparison.compare(study, "runs/study")

``zojax compare study.toml`` does the same.
"""

from zojax.lm.comparison._compare import compare as compare
from zojax.lm.comparison._execute import StudyObserver as StudyObserver
from zojax.lm.comparison._execute import check as check
from zojax.lm.comparison._records import Records as Records
from zojax.lm.comparison._runs import Record as Record
from zojax.lm.comparison._runs import Run as Run
from zojax.lm.comparison._study import Study as Study
from zojax.lm.comparison._study_file import load_study as load_study
from zojax.lm.comparison._summary import Entry as Entry

__all__ = [
    "Entry",
    "Record",
    "Records",
    "Run",
    "Study",
    "StudyObserver",
    "check",
    "compare",
    "load_study",
]
