"""Training on several devices.

:func:`shard_batch` distributes the examples of a batch over a mesh; :func:`query_parallel` wraps a
step and distributes its queries. In both cases only losses are communicated. Processes of one job
find each other by :func:`zojax.lm.processes.join`.
"""

from zojax.parallel._put import pad_batch as pad_batch
from zojax.parallel._put import replicate as replicate
from zojax.parallel._put import shard_batch as shard_batch
from zojax.parallel._queries import query_parallel as query_parallel

__all__ = ["pad_batch", "query_parallel", "replicate", "shard_batch"]
