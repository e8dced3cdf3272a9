"""Tasks whose data a package brings."""

from __future__ import annotations

from zojax.tasks._task import Sizes, Task
from zojax.tasks.rotten_tomatoes import rotten_tomatoes

PACKAGE_TASKS = (
    Task(
        name="rotten-tomatoes",
        kind="classification",
        template="{text} It was {label}",
        label_words=("terrible", "great"),
        masked_template="{text} It was {label}.",
        sizes=Sizes(train=6000),
        source=rotten_tomatoes,
    ),
)
