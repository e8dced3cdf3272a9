"""Arguments in, exit status out."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import jax

from zojax.parallel import join, launch
from zojax.parallel._launch import INTERRUPTED
from zojax.parallel._processes import abandon
from zojax.training import NonFiniteLossError, evaluate_run, finetune

if TYPE_CHECKING:
    from zojax.cli._arguments import Finetune

_USER_ERRORS = (ImportError, OSError, ValueError, NonFiniteLossError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      arguments: Without the program's name; those of this process when None.

    Returns:
      The exit status: 0, 1 for an error that the message explains, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"zojax {metadata.version('zojax')}")
        return 0
    try:
        return _run(arguments or ["--help"])
    except KeyboardInterrupt:
        print("zojax: interrupted; nothing more is saved", file=sys.stderr)
        status = INTERRUPTED
    except _USER_ERRORS as error:
        if os.environ.get("ZOJAX_TRACEBACK"):
            if not jax.distributed.is_initialized():
                raise
            traceback.print_exc()
        print("\n".join([f"zojax: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        print("(ZOJAX_TRACEBACK=1 shows where)", file=sys.stderr)
        status = 1
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        status = 1
    if jax.distributed.is_initialized():
        abandon(status)
    return status


def _run(arguments: list[str]) -> int:
    try:
        from zojax.cli._arguments import Finetune, GalleryArguments, PlanArguments, parse
    except ModuleNotFoundError as error:
        raise ImportError('the command line needs tyro: pip install "zojax[demo]".') from error
    from zojax.cli._console import make_console
    from zojax.cli._gallery import run_gallery
    from zojax.cli._plan import run_plan

    command = parse(arguments)
    if isinstance(command, PlanArguments):
        run_plan(command)
        return 0
    if isinstance(command, GalleryArguments):
        run_gallery(command, shlex.join(["zojax", *arguments]))
        return 0
    if not isinstance(command, Finetune):
        evaluate_run(command.run, make_console())
        return 0
    return _finetune(command, arguments)


def _finetune(command: Finetune, arguments: list[str]) -> int:
    from zojax.cli._console import make_console

    job = command.job
    if job.processes != 1:
        if job.coordinator is not None:
            raise ValueError(
                "finetune: processes, all on this host, must not be given with coordinator, whose "
                "processes are started one by one."
            )
        again = [sys.executable, "-P", "-m", "zojax", *arguments, "--processes=1"]
        return launch(again, job.processes)
    join(job.coordinator, job.num_processes, job.process_id)
    if jax.process_index() > 0:
        result = finetune(command.config)
    else:
        console = make_console()
        result = finetune(command.config, console)
        console.report(result)
    return INTERRUPTED if result.tuned is None else 0
