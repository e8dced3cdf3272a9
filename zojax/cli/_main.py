"""The entry point: parses arguments, runs a command, and returns its exit status."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from zojax.cli._commands import COMMANDS, overview, unknown
from zojax.cli._devices import may_have_accelerator, use_cpu
from zojax.cli._parser import UsageError, parse
from zojax.cli._text import columns, wrapped

if TYPE_CHECKING:
    from zojax.cli._arguments import Finetune

_HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      arguments: The arguments without the program's name; None reads those of this process.

    Returns:
      The exit status: 0 for success, 1 for an error that a message explains, 2 for wrong arguments,
      130 after Ctrl-C, 143 after SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if arguments[0] == "--version":
        print(f"zojax {metadata.version('zojax')}")
        return 0
    if arguments[0] in _HELP:
        print(overview())
        return 0
    if not may_have_accelerator():
        use_cpu()
    try:
        return _run(arguments[0], arguments[1:])
    except UsageError as error:
        help_of = arguments[0] if arguments[0] in COMMANDS else ""
        _say(f"zojax: {error}\n    {' '.join(filter(None, ['zojax', help_of, '--help']))}")
        return 2
    except KeyboardInterrupt:
        _say("zojax: interrupted; nothing more was saved")
        status = 130
    except Exception as error:
        expected, alone = isinstance(error, _user_errors()), not _is_distributed()
        if not expected or os.environ.get("ZOJAX_TRACEBACK"):
            if alone:
                raise
            traceback.print_exc()
        if expected:
            notes = getattr(error, "__notes__", ())
            _say("\n".join([f"zojax: {error}", *notes]))
            _say("(ZOJAX_TRACEBACK=1 shows the traceback)")
        status = 1
    if _is_distributed():
        from zojax.lm.processes import abandon

        abandon(status)
    return status


def _run(name: str, arguments: list[str]) -> int:
    if name not in COMMANDS:
        raise UsageError(unknown(name))
    if name == "gallery":  # the others' help and refusals do not wait for jax
        from zojax.cli._gallery_arguments import GalleryArguments

        kind = GalleryArguments
    else:
        from zojax.cli._arguments import KINDS

        kind = KINDS[name]
    if not {*_HELP}.isdisjoint(arguments):
        from zojax.cli._help import help_of

        print(help_of(name, kind))
        return 0
    if name == "finetune" and arguments[:1] == ["--defaults"]:
        from zojax.cli._defaults import defaults_of

        print(defaults_of(arguments[1:]))
        return 0
    return _execute(name, parse(name, kind, arguments), arguments)


def _execute(name: str, command: Any, arguments: list[str]) -> int:
    from zojax.cli._console import make_console
    from zojax.lm import training

    match name:
        case "finetune":
            return _finetune(command, arguments)
        case "eval":
            from zojax.cli._evaluate import run_evaluate

            run_evaluate(command)
        case "predict":
            from zojax.cli._predict import run_predict

            run_predict(command)
        case "export":
            with make_console() as console:
                folder = training.export_run(
                    command.run,
                    command.output,
                    which=command.which,
                    merge_adapter=command.merge,
                    observer=console,
                )
                console.line(f"exported   {folder}")
        case "replay":
            with make_console() as console:
                found = training.replay_run(
                    command.base, command.log, command.output, until=command.until, observer=console
                )
                console.replayed(found)
        case "baseline":
            from zojax.cli._baseline import run_baseline

            run_baseline(command)
        case "compare":
            from zojax.cli._compare import run_compare

            run_compare(command)
        case "gallery":
            from zojax.cli._gallery import run_gallery

            run_gallery(command, shlex.join(["zojax", name, *arguments]))
        case _:
            from zojax.cli._plan import run_plan

            run_plan(command)
    return 0


def _finetune(command: Finetune, arguments: list[str]) -> int:
    import jax

    from zojax.cli._console import make_console
    from zojax.lm.processes import join, launch
    from zojax.lm.training import finetune

    job = command.job
    if job.processes != 1:
        if job.coordinator is not None:
            raise UsageError(
                "finetune: processes must not be given with coordinator: processes starts all of "
                "them on this host, coordinator joins processes that are started separately."
            )
        again = [sys.executable, "-P", "-m", "zojax", "finetune", *arguments, "--processes=1"]
        return launch(again, job.processes)
    join(job.coordinator, job.num_processes, job.process_id)
    if jax.process_index() > 0:
        result = finetune(command.config)
    else:
        with make_console() as console:
            result = finetune(command.config, console)
            console.report(result)
    return 128 + result.signal if result.signal else 0


def _user_errors() -> tuple[type[BaseException], ...]:
    """The errors that a user can mend: their message suffices."""
    if "zojax.lm.training" not in sys.modules:
        return ImportError, OSError, ValueError
    from zojax.lm.training import NonFiniteLossError

    return ImportError, OSError, ValueError, NonFiniteLossError


def _is_distributed() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _say(text: str) -> None:
    print(wrapped(text, columns(sys.stderr)), file=sys.stderr)
