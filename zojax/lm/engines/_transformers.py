"""transformers' PyTorch model as an engine, with peft's adapters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zojax.lm.engines._engine import Completions, Decoding, Prompt, check_prompts, finished


class TransformersEngine:
    """Writes completions with transformers' model in PyTorch, one member after the other.

    Args:
      folder: A folder in transformers' layout, or a name on the hub.
      dtype: Of the weights: the name of a dtype of torch.
      device: Where they go, as torch names it.

    Cost: a call of ``generate`` for each member.

    Raises:
      ImportError: torch, transformers or peft is not installed.
    """

    def __init__(self, folder: str | Path, *, dtype: str = "float32", device: str = "cpu") -> None:
        try:
            import peft  # pyright: ignore[reportMissingImports] - of an extra
            import torch
            import transformers
        except ModuleNotFoundError as error:
            raise ImportError(
                f'TransformersEngine: it needs {error.name}: pip install "zojax[peft]".'
            ) from error
        self._torch: Any = torch
        self._generation: Any = transformers.GenerationConfig
        self._with_adapter: Any = peft.PeftModel.from_pretrained
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype)
        )
        self._model.to(device).eval()
        self._ends: Any = self._model.generation_config.eos_token_id
        # What it says besides, such as a penalty, would enter into what is asked for.
        self._model.generation_config = self._generation()

    def complete(
        self, prompts: Sequence[Prompt], members: Sequence[Path | None], decoding: Decoding
    ) -> Completions:
        check_prompts("TransformersEngine", prompts)
        return [self._of_member(folder, prompts, decoding) for folder in members]

    def close(self) -> None:
        self._model = None

    def _of_member(
        self, folder: Path | None, prompts: Sequence[Prompt], decoding: Decoding
    ) -> list[str]:
        if folder is None:
            return self._write(self._model, prompts, decoding)
        adapted = self._with_adapter(self._model, str(folder)).eval()
        try:
            return self._write(adapted, prompts, decoding)
        finally:
            self._model = adapted.unload()

    def _write(self, model: Any, prompts: Sequence[Prompt], decoding: Decoding) -> list[str]:
        torch, longest = self._torch, max(map(len, prompts))
        device = model.device
        # On the left, where generate expects it.
        ids = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        settings: dict[str, Any] = dict(do_sample=decoding.temperature > 0)
        if settings["do_sample"]:
            drawn = dict(temperature=decoding.temperature, top_p=decoding.top_p, top_k=0)
            settings.update(drawn)
        with torch.no_grad(), torch.random.fork_rng():
            # Every member draws the same numbers.
            torch.manual_seed(decoding.seed)
            rows = model.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=self._generation(
                    max_new_tokens=decoding.max_new_tokens,
                    eos_token_id=self._ends,
                    pad_token_id=self._first_end(),
                    **settings,
                ),
            )
        written = rows[:, longest:].tolist()
        texts = self._tokenizer.batch_decode(
            written, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [finished(text, decoding.stop) for text in texts]

    def _first_end(self) -> int:
        """What fills rows that have ended: a special token, which the text leaves out."""
        ends = self._ends if isinstance(self._ends, list) else [self._ends]
        return next((end for end in ends if end is not None), 0)
