"""Members of a step as adapters in peft's format."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zojax.lm.adapters import LoRA, save_peft
from zojax.lm.models import LanguageModel, Params


@contextmanager
def written(
    adapter: LoRA, model: LanguageModel, members: Sequence[Params], folder: str | Path | None = None
) -> Generator[list[Path]]:
    """Write adapters for an engine; a context manager that removes them in the end.

    Args:
      adapter: Of which the members are values.
      model: The model without an adapter; names and shapes are read, so that
        ``zojax.lm.models.load(folder, weights=False)`` will do.
      members: The adapter's parameters of each member, P trees like ``adapter.initial``'s.
      folder: Where they are written, in folders of their own: one that a server sees. None for the
        system's folder of temporary files.

    Yields:
      P folders.

    Cost: one copy of the members on the disk.
    """
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zojax-members-", dir=folder) as root:
        paths = [Path(root) / f"member-{place}" for place in range(len(members))]
        for path, own in zip(paths, members, strict=True):
            save_peft(adapter, model, own, path)
        # A server may run as another user.
        Path(root).chmod(0o755)
        yield paths
