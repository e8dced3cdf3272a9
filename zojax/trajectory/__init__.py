"""Logs of runs: a few bytes for each step, from which a replay rebuilds the parameters.

A zeroth-order step is determined by its keys and the slopes that it measured. A :class:`LogWriter`
writes the slopes, and :func:`replay` rebuilds the parameters from them. ``zojax finetune`` writes
such a log for every zeroth-order run.

The rebuilt parameters have the same bits on the same platform and processor family with the same
version of jax; otherwise they agree up to rounding.
"""

from zojax._meter import Measured as Measured
from zojax._meter import Meter as Meter
from zojax.trajectory._fields import record_fields as record_fields
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
    "record_fields",
    "replay",
]
