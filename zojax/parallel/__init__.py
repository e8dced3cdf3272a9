"""Training on several devices.

Batches are shared out by putting them on a mesh (:func:`shard_batch`), queries by wrapping the step
(:func:`query_parallel`); either way nothing but losses crosses the wire. Processes of one job find
each other by :func:`zojax.lm.processes.join`.
"""

from zojax.parallel._put import pad_batch as pad_batch
from zojax.parallel._put import replicate as replicate
from zojax.parallel._put import shard_batch as shard_batch
from zojax.parallel._queries import query_parallel as query_parallel

__all__ = ["pad_batch", "query_parallel", "replicate", "shard_batch"]
