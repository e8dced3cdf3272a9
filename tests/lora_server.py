"""A server for tests that keeps to what vLLM documents of its OpenAI API and of adapters.

It answers ``/v1/models``, ``/v1/load_lora_adapter``, ``/v1/unload_lora_adapter`` and
``/v1/completions``, refuses fields that these do not have, and writes with zojax's own decoder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from zojax.lm.engines import Decoding, ZojaxEngine

MODEL = "tiny"
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
COMPLETIONS, MODELS = "/v1/completions", "/v1/models"
_FIELDS = {
    LOAD: {"lora_name", "lora_path", "load_inplace"},
    UNLOAD: {"lora_name", "lora_int_id"},
    COMPLETIONS: {
        *("model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stop", "n"),
        *("top_k", "min_p", "repetition_penalty", "stop_token_ids"),
    },
}

Fault = Callable[["LoraServer", str, dict[str, Any]], "tuple[int, Any] | None"]
"""``fault(server, path, body)``: another answer, or None for the usual one; or it raises OSError,
and the connection is closed without an answer."""


class LoraServer:
    """What the server knows and was asked."""

    def __init__(self, engine: ZojaxEngine) -> None:
        self.engine = engine
        self.loaded: dict[str, Path] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.fault: Fault | None = None
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        with self.lock:
            self.asked.append((path, body))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            found = None if self.fault is None else self.fault(self, path, body)
            return self.usual(path, body) if found is None else found
        finally:
            with self.lock:
                self.at_once -= 1

    def usual(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == MODELS:
            names = [MODEL, *self.loaded]
            return 200, {"object": "list", "data": [{"id": name} for name in names]}
        if path not in _FIELDS:
            return 404, {"detail": "Not Found"}
        if unknown := {*body} - _FIELDS[path]:
            return error(400, f"unknown fields {unknown}", "BadRequestError")
        with self.lock:
            return {LOAD: self._load, UNLOAD: self._unload, COMPLETIONS: self._complete}[path](body)

    def _load(self, body: dict[str, Any]) -> tuple[int, Any]:
        name, folder = body["lora_name"], Path(body["lora_path"])
        if name in self.loaded:
            said = f"The lora adapter '{name}' has already been loaded. If you want to load the "
            return error(400, said + "adapter in place, set 'load_inplace' to True.", "InvalidUser")
        if not (folder / "adapter_config.json").is_file():
            return error(404, f"Loading lora {name} failed: No adapter found for {folder}", "NotF")
        self.loaded[name] = folder
        return 200, f"Success: LoRA adapter '{name}' added successfully."

    def _unload(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["lora_name"]
        if name not in self.loaded:
            return error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.loaded[name]
        return 200, f"Success: LoRA adapter '{name}' removed successfully."

    def _complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body["model"] not in (MODEL, *self.loaded):
            return error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        prompts = body["prompt"]
        decoding = Decoding(
            max_new_tokens=body.get("max_tokens", 16),
            temperature=body.get("temperature", 1.0),
            top_p=body.get("top_p", 1.0),
            stop=tuple(body.get("stop", ())),
            seed=body.get("seed", 0),
        )
        member = self.loaded.get(body["model"])
        ((*texts,),) = self.engine.complete(prompts, [member], decoding)
        choices = [
            {"index": place, "text": " " + text, "finish_reason": "length", "logprobs": None}
            for place, text in enumerate(texts)
        ]
        # In another order, which the protocol allows.
        return 200, {"object": "text_completion", "choices": choices[::-1]}


def error(status: int, message: str, kind: str) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}


@contextmanager
def serving(engine: ZojaxEngine) -> Generator[LoraServer]:
    """A server at a port of its own, for the time of the context."""
    state = LoraServer(engine)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            state.headers.append(dict(self.headers))
            try:
                status, said = state.answer(self.path, body)
                data = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
