"""Files of a model: in a folder, in this package, or on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from zojax.lm.models._hub_names import HUB_NAMES

# Name -> folder in transformers' layout, inside this package.
EMBEDDED = {m: Path(__file__).parent / m.replace("-", "_") for m in ("opt-mini", "roberta-mini")}


def resolve(name_or_folder: str | Path) -> str:
    """Return the folder's path, or the name on the hub.

    Raises:
      FileNotFoundError: It cannot be a name on the hub, and there is no folder of the name, or one
        without config.json; or the hub does not have the weights.
    """
    name = str(name_or_folder)
    folder = Path(name)
    if not folder.is_dir():
        folder = EMBEDDED.get(name, folder)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"load: {folder} has no config.json. Give a folder in transformers' layout: "
                "config.json, the weights, and the tokenizer's files."
            )
        return str(folder)
    # A hub name is "owner/name" or "name"; anything else must be a path, and that does not exist.
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name in EMBEDDED:
        raise FileNotFoundError(f"load: there is no folder {folder}.")
    found = HUB_NAMES.get(name, name)
    if found is None:
        raise FileNotFoundError(
            f"load: of {name} the shapes alone are known, and the Hugging Face hub has no weights. "
            "Give a folder with them in transformers' layout."
        )
    return found


def find(source: str, name: str) -> str | None:
    """Return the path of a file of a folder or a hub name, downloaded if needed, or None."""
    if Path(source).is_dir():
        file = Path(source) / name
        return str(file) if file.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return hf_hub_download(source, name)
    except EntryNotFoundError:  # the repository, or what of it is in the cache, has no such file
        return None


def config_file(source: str) -> Path:
    """Return the path of ``config.json``.

    Raises:
      FileNotFoundError: The hub does not offer the model, or cannot be reached.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        file = find(source, "config.json")
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"load: {source!r} is neither a folder nor a model that the hub offers. The hub says: "
            f"{error}"
        ) from error
    if file is None:
        raise FileNotFoundError(
            f"load: {source!r} is neither a folder nor a model that the hub offers, or the hub "
            "cannot be reached and its cache has no such model."
        )
    return Path(file)
