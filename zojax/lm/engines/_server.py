"""A server that speaks OpenAI's API and loads LoRA adapters at run time, as vLLM does."""

from __future__ import annotations

import itertools
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

from zojax.lm.engines._engine import Completions, Decoding, Prompt, check_prompts, finished
from zojax.lm.engines._http import Answer, Client, EngineError, UnavailableError

_LOAD, _UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
_COMPLETIONS, _MODELS = "/v1/completions", "/v1/models"


class ServerEngine:
    """Writes completions on a server: each member is an adapter that the server loads.

    A call loads the members' adapters under names of their own, asks for all completions at once,
    and unloads the adapters. vLLM needs ``--enable-lora``, a ``--max-lora-rank`` that is not below
    the adapters' and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=True`` in its environment.

    Args:
      url: Where the server is: ``"http://localhost:8000"``.
      model: The name under which it serves the model without adapters; None for its first.
      api_key: Sent as the bearer token.
      seconds: The time limit of a request.
      retries: How often a request is sent again that got no answer, or one that says to come again
        (408, 429 and 5xx). A member whose requests fail at every try is None among the completions.
      parallel: Most requests at a time.
      path_on_server: From a member's folder to its path on the server, where that is another
        machine; None if it is the same.
      extra: Further fields of each request for completions, such as vLLM's ``top_k``.

    Cost: for each member two requests and the upload of nothing: the server reads the folder.

    Raises:
      EngineError: The server does not answer, or does not serve the model.
      ValueError: A number is out of range.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        seconds: float = 600.0,
        retries: int = 3,
        parallel: int = 64,
        path_on_server: Callable[[Path], str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value, least in (("retries", retries, 0), ("parallel", parallel, 1)):
            if value < least:
                raise ValueError(f"ServerEngine: {name} must be >= {least}, got {value}.")
        if not seconds > 0:
            raise ValueError(f"ServerEngine: seconds must be > 0, got {seconds}.")
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._client = Client(url, headers, seconds=seconds, retries=retries, pause=0.5)
        self._parallel, self._extra = parallel, dict(extra or {})
        self._path = path_on_server or (lambda folder: str(folder.absolute()))
        # Another run's adapters on the same server have other names.
        self._run, self._numbers = uuid.uuid4().hex[:8], itertools.count()
        self._model = self._served(model)

    def complete(
        self, prompts: Sequence[Prompt], members: Sequence[Path | None], decoding: Decoding
    ) -> Completions:
        check_prompts("ServerEngine", prompts)
        names = [
            self._model if folder is None else f"zojax-{self._run}-{next(self._numbers)}"
            for folder in members
        ]
        with ThreadPoolExecutor(self._parallel) as pool:
            asked: list[list[Future[list[str] | str]]] = []
            try:
                unloaded = list(pool.map(self._load, names, members))
                requests = _requests(prompts, decoding)
                for name, failure in zip(names, unloaded, strict=True):
                    served = requests if failure is None else []
                    asked.append([pool.submit(self._ask, name, *one, decoding) for one in served])
                answers = [[future.result() for future in futures] for futures in asked]
            finally:
                for future in itertools.chain(*asked):
                    future.cancel()
                # Those that failed too: a load without an answer may have succeeded.
                list(pool.map(self._unload, names, members))
        return self._completions(unloaded, answers)

    def _completions(
        self, unloaded: list[str | None], answers: list[list[list[str] | str]]
    ) -> Completions:
        """The texts of each member of which no request failed."""
        found: Completions = []
        failures: list[str] = []
        for failure, parts in zip(unloaded, answers, strict=True):
            said = [failure, *(part for part in parts if isinstance(part, str))]
            failed = [each for each in said if each is not None]
            found.append(None if failed else [text for part in parts for text in part])
            failures += failed[:1]
        if failures and len(failures) == len(found):
            raise EngineError(f"ServerEngine: no member was served. The first: {failures[0]}")
        if failures:
            message = "%d of %d members were not served. The first: %s"
            logging.getLogger("zojax").warning(message, len(failures), len(found), failures[0])
        return found

    def close(self) -> None:
        """The server goes on; nothing of it is held."""

    def _served(self, model: str | None) -> str:
        try:
            answer = self._client.send(_MODELS)
        except UnavailableError as error:
            raise EngineError(f"ServerEngine: no server answers. {error}") from error
        served = [each["id"] for each in self._json(_MODELS, answer)["data"]]
        if not served or model not in (None, *served):
            raise EngineError(f"ServerEngine: model must be one of {served}, got {model!r}.")
        return served[0] if model is None else model

    def _load(self, name: str, folder: Path | None) -> str | None:
        """Why a member's adapter was not loaded; None if it was, or there is none."""
        if folder is None:
            return None
        body = {"lora_name": name, "lora_path": self._path(folder)}
        try:
            answer = self._client.send(_LOAD, body)
        except UnavailableError as error:
            return str(error)
        # An earlier try, to which no answer came.
        if answer.status == HTTPStatus.BAD_REQUEST and "already been loaded" in answer.text:
            return None
        if answer.status == HTTPStatus.NOT_FOUND:
            raise EngineError(
                f"ServerEngine: the server must load adapters at run time, got "
                f"{_LOAD}: {answer.status} {answer.text[:500]}. Start vLLM with --enable-lora and "
                f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and let it see {self._path(folder)}."
            )
        self._accepted(_LOAD, answer)
        return None

    def _unload(self, name: str, folder: Path | None) -> None:
        if folder is None:
            return
        try:
            self._client.send(_UNLOAD, {"lora_name": name})  # 404: it was never loaded
        except UnavailableError as error:
            message = "an adapter may still be loaded on the server: %s"
            logging.getLogger("zojax").warning(message, error)

    def _ask(
        self, name: str, prompts: Sequence[Prompt], seed: int | None, decoding: Decoding
    ) -> list[str] | str:
        """The texts after some prompts, or why there are none."""
        body: dict[str, Any] = {
            "model": name,
            "prompt": [[int(token) for token in prompt] for prompt in prompts],
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            **({} if seed is None else {"seed": seed}),
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
            **self._extra,
        }
        try:
            answer = self._client.send(_COMPLETIONS, body)
        except UnavailableError as error:
            return str(error)
        choices = self._json(_COMPLETIONS, answer)["choices"]
        if sorted(choice["index"] for choice in choices) != [*range(len(prompts))]:
            raise EngineError(
                f"ServerEngine: {_COMPLETIONS} must have a choice for each of the {len(prompts)} "
                f"prompts, got {len(choices)}."
            )
        texts = {choice["index"]: choice["text"] for choice in choices}
        return [finished(texts[place], decoding.stop) for place in range(len(prompts))]

    def _accepted(self, path: str, answer: Answer) -> None:
        if answer.status != HTTPStatus.OK:
            raise EngineError(
                f"ServerEngine: {self._client.url}{path} refused a request: {answer.status} "
                f"{answer.text[:500]}"
            )

    def _json(self, path: str, answer: Answer) -> Any:
        self._accepted(path, answer)
        try:
            return json.loads(answer.text)
        except ValueError as error:
            raise EngineError(
                f"ServerEngine: {self._client.url}{path} must answer in JSON, got "
                f"{answer.text[:200]!r}."
            ) from error


def _requests(
    prompts: Sequence[Prompt], decoding: Decoding
) -> list[tuple[Sequence[Prompt], int | None]]:
    """What is asked of each member: prompts, and the seed of their noise.

    A request has one seed: where tokens are drawn, each prompt gets its own, or they would all be
    drawn by the same numbers.
    """
    if decoding.temperature == 0:
        return [(prompts, None)]
    # As many prompts as a step may have, so that seeds of two steps do not meet.
    first = decoding.seed * 1_000_003
    return [([prompt], first + place) for place, prompt in enumerate(prompts)]
