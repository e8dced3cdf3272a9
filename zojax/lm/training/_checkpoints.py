"""Checkpoints: what a run needs to resume, written completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ARRAYS, _NOTE = "arrays", "note"


def require_orbax() -> None:
    """Refuse before the first step if no checkpoint can be written.

    Raises:
      ImportError: orbax is not installed.
    """
    if importlib.util.find_spec("orbax") is None:
        raise ImportError('finetune: checkpoints need orbax: pip install "zojax[demo]".')


class Checkpoints:
    """Trees of arrays, each in a folder named by its step, written by orbax in the background.

    A folder gets its final name when all of its content is on the disk. The checkpoint includes a
    SHA-256 of its arrays and its note.

    Args:
      folder: The parent folder of the run's checkpoints.
      writes: Whether this process is the one, of several, that writes.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        import orbax.checkpoint as ocp

        self._folder, self._ocp = folder, ocp
        # Folders are made synchronously: if making one in the background failed, orbax would wait
        # for many minutes before it said so.
        options = ocp.AsyncOptions(create_directories_asynchronously=False)
        # Each process holds all arrays and writes alone; by default, orbax would wait at a barrier
        # for the other processes.
        me, several = jax.process_index(), jax.process_count() > 1
        self._alone = ocp.options.MultiprocessingOptions(
            primary_host=me,
            active_processes={me} if several else None,
            barrier_sync_key_prefix=f"process {me}" if several else None,
        )
        self._writer = ocp.AsyncCheckpointer(
            self._handler(), async_options=options, multiprocessing_options=self._alone
        )
        self._kept: set[int] | None = None
        for path in folder.iterdir() if writes and folder.is_dir() else ():
            if not path.name.isdecimal():  # left by a process that was killed
                _remove(path)

    def _handler(self) -> Any:
        options = self._ocp.CompositeOptions(multiprocessing_options=self._alone)
        return self._ocp.CompositeCheckpointHandler(composite_options=options)

    def steps(self) -> list[int]:
        """The steps whose checkpoints exist, in ascending order."""
        if not self._folder.is_dir():
            return []
        names = [path.name for path in self._folder.iterdir()]
        return sorted(int(name) for name in names if name.isdecimal() and name.isascii())

    def save(self, step: int, tree: Any, note: dict[str, Any], keep: Iterable[int]) -> None:
        """Copy ``tree`` and begin to write it, after the previous checkpoint has been finished.

        Args:
          step: The step that names the checkpoint.
          tree: A tree of arrays.
          note: JSON that is stored with the arrays.
          keep: Steps whose checkpoints are kept, besides this one; all others are removed.

        Raises:
          OSError: The previous checkpoint or this one cannot be written, for example because the
            disk is full.
        """
        self.wait()
        self._kept = {step, *keep}
        arrays = _arrays(tree)
        args = self._ocp.args.Composite(
            **{
                _ARRAYS: self._ocp.args.PyTreeSave({k: x for k, x in arrays.items() if x.size}),
                _NOTE: self._ocp.args.JsonSave({**note, "sha256": _sha256(arrays, note)}),
            }
        )
        try:
            self._writer.save(self._folder / str(step), args=args, force=True)
        except Exception as error:  # tensorstore's errors are ValueErrors
            raise _failed(error, self.steps()) from error

    def wait(self) -> None:
        """Wait until the checkpoint is on the disk, then remove those that need not be kept.

        Raises:
          OSError: The checkpoint could not be written.
        """
        try:
            self._writer.wait_until_finished()
        except Exception as error:
            raise _failed(error, self.steps()) from error
        if self._kept is not None:  # older ones are removed only now that the newest is complete
            for step in set(self.steps()) - self._kept:
                _remove(self._folder / str(step))

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """Read a checkpoint and check it against its SHA-256 and the expected tree.

        Args:
          step: The step that names the checkpoint.
          like: A tree with the structure, shapes and dtypes to expect; its leaves may be abstract.

        Returns:
          The tree, whose arrays are in host memory, except keys, and the note that is stored with
          it.

        Raises:
          ValueError: The checkpoint is truncated or altered, or its tree is not like ``like``. The
            message names the previous checkpoint.
        """
        path = self._folder / str(step)
        wanted = {str(i): _data(leaf) for i, leaf in enumerate(jax.tree.leaves(like))}
        as_numpy = self._ocp.RestoreArgs(restore_type=np.ndarray)
        args = self._ocp.args.Composite(
            **{
                _ARRAYS: self._ocp.args.PyTreeRestore(
                    restore_args={name: as_numpy for name, x in wanted.items() if x.size}
                ),
                _NOTE: self._ocp.args.JsonRestore(),
            }
        )
        try:
            with self._ocp.Checkpointer(
                self._handler(), multiprocessing_options=self._alone
            ) as reader:
                found = reader.restore(path, args=args)
            note, arrays = found[_NOTE], dict(found[_ARRAYS])
            empty = {name: np.zeros(x.shape, x.dtype) for name, x in wanted.items() if not x.size}
            arrays |= empty
            sha256 = note.pop("sha256")
            intact = sha256 == _sha256(arrays, note) and all(
                (arrays[name].shape, arrays[name].dtype) == (x.shape, x.dtype)
                for name, x in wanted.items()
            )
        except Exception as error:  # orbax raises many types of errors for damaged files
            raise self._damaged(path, step) from error
        if not intact:
            raise self._damaged(path, step)
        leaves = [_typed(arrays[str(i)], leaf) for i, leaf in enumerate(jax.tree.leaves(like))]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), note

    def _damaged(self, path: Path, step: int) -> ValueError:
        before = [other for other in self.steps() if other < step]
        good = f"that of step {before[-1]}" if before else "none"
        return ValueError(
            f"finetune: the checkpoint {path} is truncated, altered or of another run. The last "
            f"checkpoint before it is {good}. Remove {path}, then resume."
        )

    def close(self) -> None:
        """Finish the checkpoint that is being written, and end the thread that writes.

        Errors of writing are not raised here: :meth:`wait` raises them.
        """
        with contextlib.suppress(Exception):
            self._writer.close()


def _arrays(tree: Any) -> dict[str, np.ndarray]:
    """Copy the leaves into host memory, by their position in the flattened tree."""
    # copy=True: on CPU a view would share the buffer, and the next step could not donate it.
    leaves = [np.array(_data(leaf), copy=True) for leaf in jax.tree.leaves(tree)]
    return {str(i): leaf for i, leaf in enumerate(leaves)}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    if not _is_key(leaf):
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, leaf)
    return jax.random.key_data(leaf)


def _typed(array: np.ndarray, like: Any) -> Any:
    if not _is_key(like):
        return array
    return jax.random.wrap_key_data(jnp.array(array), impl=jax.random.key_impl(like))


def _sha256(arrays: dict[str, np.ndarray], note: dict[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(note, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.shape} {array.dtype}".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _remove(path: Path) -> None:
    """Remove a folder; a checkpoint is renamed first, so that no part looks complete."""
    doomed = path.with_name(f"{path.name}.removed")
    if path.name.isdecimal():
        path.rename(doomed)
        path = doomed
    shutil.rmtree(path, ignore_errors=True)


def _failed(error: Exception, steps: list[int]) -> OSError:
    last = f"the last complete one is of step {steps[-1]}" if steps else "no earlier one exists"
    # tensorstore appends its full specification in brackets, which is left out here.
    disk_full = os.strerror(errno.ENOSPC)
    reason = disk_full if disk_full in str(error) else str(error).split(" [")[0]
    return OSError(f"finetune: a checkpoint could not be written ({reason}); {last}.")
