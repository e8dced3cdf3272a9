"""Runs as logs of scalars: a few bytes a step, from which the parameters come back to the bit.

To the bit means: on one platform and processor family, with one version of jax; elsewhere the
parameters agree to rounding.

With its keys and the slopes that it measured, a zeroth-order step is determined. A
:class:`LogWriter` writes the slopes, :func:`replay` makes parameters of them again.
``zojax finetune`` keeps such a log of every run.
"""

from zojax._meter import Measured as Measured
from zojax._meter import Meter as Meter
from zojax.trajectory._fingerprint import fingerprint as fingerprint
from zojax.trajectory._header import Header as Header
from zojax.trajectory._header import LogDtype as LogDtype
from zojax.trajectory._header import key_parts as key_parts
from zojax.trajectory._log import Log as Log
from zojax.trajectory._log import LogWriter as LogWriter
from zojax.trajectory._log import read_log as read_log
from zojax.trajectory._meters import Field as Field
from zojax.trajectory._meters import Recorder as Recorder
from zojax.trajectory._replay import Replayer as Replayer
from zojax.trajectory._replay import replay as replay

__all__ = [
    "Field",
    "Header",
    "Log",
    "LogDtype",
    "LogWriter",
    "Measured",
    "Meter",
    "Recorder",
    "Replayer",
    "fingerprint",
    "key_parts",
    "read_log",
    "replay",
]
