"""Workers on many machines evaluate the points of a step, and send back a few bytes for each.

A :class:`Crew` asks for a step's points, hands them out, and takes the step with the losses that
come back, by :func:`zojax.ask_tell`. Every worker has the model and follows the run by itself: with
its next points it gets the records of the steps in between, as a log has them, and replays them. So
parameters are never sent, and a worker that begins late or takes another one's place replays the
whole log first.
"""

from zojax.workers._crew import Crew as Crew
from zojax.workers._crew import StepReport as StepReport
from zojax.workers._in_process import InProcess as InProcess
from zojax.workers._job import Job as Job
from zojax.workers._job import Make as Make
from zojax.workers._job import make_job as make_job
from zojax.workers._messages import Died as Died
from zojax.workers._messages import Event as Event
from zojax.workers._messages import Failed as Failed
from zojax.workers._messages import Reply as Reply
from zojax.workers._messages import Request as Request
from zojax.workers._messages import Transport as Transport
from zojax.workers._ray import RayWorkers as RayWorkers
from zojax.workers._worker import Worker as Worker

__all__ = [
    "Crew",
    "Died",
    "Event",
    "Failed",
    "InProcess",
    "Job",
    "Make",
    "RayWorkers",
    "Reply",
    "Request",
    "StepReport",
    "Transport",
    "Worker",
    "make_job",
]
