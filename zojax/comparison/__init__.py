"""Studies: methods measured against each other, fairly, from one file.

Every run of a study has the same budget of forward passes. Settings are chosen on dev, from grids,
with a seed that is used for nothing else; what is reported is measured on test, with other seeds::

    study = zojax.comparison.load_study("study.toml")
    zojax.comparison.compare(study, "runs/study")

``zojax compare study.toml`` does the same.
"""

from zojax.comparison._compare import compare as compare
from zojax.comparison._execute import StudyObserver as StudyObserver
from zojax.comparison._execute import check as check
from zojax.comparison._records import Records as Records
from zojax.comparison._runs import Record as Record
from zojax.comparison._runs import Run as Run
from zojax.comparison._study import Study as Study
from zojax.comparison._study_file import load_study as load_study
from zojax.comparison._summary import Entry as Entry

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
