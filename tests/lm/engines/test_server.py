"""The engine of a server, against one that keeps to the protocol."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from lora_server import COMPLETIONS, LOAD, MODEL, MODELS, UNLOAD, LoraServer, error

from zojax.lm.engines import Decoding, EngineError, ServerEngine

SHORT = Decoding(max_new_tokens=4)


def engine_of(server: LoraServer, **options) -> ServerEngine:
    engine = ServerEngine(server.url, **{"seconds": 60.0, **options})
    engine._client._pause = 0.001  # seconds before a retry
    server.asked.clear()
    return engine


def test_it_writes_what_the_model_writes_and_leaves_nothing_loaded(server, own, prompts, members):
    engine = engine_of(server)
    asked = [members[0], None, members[1]]
    assert engine.complete(prompts, asked, SHORT) == own.complete(prompts, asked, SHORT)
    assert server.loaded == {}
    assert sorted(server.paths()) == sorted([LOAD, UNLOAD] * 2 + [COMPLETIONS] * 3)
    names = [body["lora_name"] for path, body in server.asked if path == LOAD]
    engine.complete(prompts, members[:2], SHORT)
    later = [body["lora_name"] for path, body in server.asked if path == LOAD]
    assert len({*names, *later}) == 4
    bodies = [body for path, body in server.asked if path == COMPLETIONS]
    assert all(body["prompt"] == prompts for body in bodies)
    assert all(
        (body["temperature"], body["top_p"], body["max_tokens"]) == (0, 1, 4) for body in bodies
    )
    engine.close()


def test_drawn_tokens_have_a_seed_for_each_prompt_and_the_same_for_all_members(
    server, own, prompts, members
):
    engine = engine_of(server, extra={"top_k": -1})
    drawn = Decoding(max_new_tokens=4, temperature=1.0, top_p=0.9, stop=("\n",), seed=2)
    same, again = engine.complete(prompts, [members[0], members[0]], drawn)
    assert same == again
    bodies = [body for path, body in server.asked if path == COMPLETIONS]
    assert len(bodies) == 4
    seeds = {tuple(body["prompt"][0]): body["seed"] for body in bodies}
    assert len({*seeds.values()}) == 2
    assert {body["seed"] for body in bodies} == {*seeds.values()}
    assert all(body["top_k"] == -1 and body["stop"] == ["\n"] for body in bodies)
    next_step = Decoding(max_new_tokens=4, temperature=0.7, top_p=0.9, seed=3)
    engine.complete(prompts, members[:1], next_step)
    later = {
        body["seed"] for path, body in server.asked[len(server.asked) - 4 :] if path == COMPLETIONS
    }
    assert not later & {*seeds.values()}


def test_all_members_are_asked_at_once(server, prompts, members):
    together = threading.Barrier(3)

    def meet(server, path, body):
        if path == COMPLETIONS:
            together.wait(timeout=30)

    server.fault = meet
    assert None not in engine_of(server).complete(prompts, members, SHORT)
    assert server.most_at_once == 3


def test_no_more_requests_at_a_time_than_asked_for(server, prompts, members):
    server.fault = lambda server, path, body: time.sleep(0.01)
    engine_of(server, parallel=1).complete(prompts, members, SHORT)
    assert server.most_at_once == 1


class Scripted:
    """Faults of some requests of a path, in the order in which they come."""

    def __init__(self, path, *answers):
        self.path, self.answers = path, [*answers]

    def __call__(self, server, path, body):
        answer = self.answers.pop(0) if path == self.path and self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


BUSY = error(503, "come again", "Overloaded")
PASSING = {
    "busy": (COMPLETIONS, BUSY, error(429, "too many", "Rate"), error(500, "oh", "Internal")),
    "loading fails once": (LOAD, error(500, "CUDA", "InternalServerError")),
    "connections are lost": (COMPLETIONS, ConnectionResetError(), BrokenPipeError()),
    "unloading fails once": (UNLOAD, BUSY),
}


@pytest.mark.quick
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(server, own, prompts, members, fault):
    server.fault = Scripted(*PASSING[fault])
    found = engine_of(server, retries=3).complete(prompts, members[:1], SHORT)
    assert found == own.complete(prompts, members[:1], SHORT)
    assert server.loaded == {}


def test_a_load_whose_answer_was_lost_is_a_load(server, own, prompts, members):
    lost = []

    def lose(server, path, body):
        if path == LOAD and not lost:
            lost.append(server.usual(path, body))
            raise ConnectionResetError

    server.fault = lose
    found = engine_of(server).complete(prompts, members[:1], SHORT)
    assert found == own.complete(prompts, members[:1], SHORT)
    assert server.loaded == {}


def of_member(server, body, number):
    """Whether a request is about the adapter in the folder of a member."""
    name = body.get("model") or body.get("lora_name")
    folder = server.loaded.get(name) or Path(body.get("lora_path", ""))
    return folder.name == f"member-{number}"


def choices(*texts):
    return 200, {"choices": [{"index": i, "text": text} for i, text in enumerate(texts)]}


@pytest.mark.parametrize("kind", ["silent", "busy"])
def test_a_member_that_is_not_served_is_left_out(server, prompts, members, kind, caplog):
    over = threading.Event()

    def fail(server, path, body):
        if path != COMPLETIONS:
            return None
        if not of_member(server, body, 1):
            return choices(" one\n", "two ")
        if kind == "busy":
            return BUSY
        over.wait(timeout=30)
        return choices("too", "late")

    server.fault = fail
    found = engine_of(server, retries=0, seconds=3.0).complete(prompts, members, SHORT)
    over.set()
    assert found == [["one", "two"], None, ["one", "two"]]
    assert server.loaded == {}
    assert "1 of 3 members were not served" in caplog.text


def test_a_member_that_is_not_loaded_is_left_out(server, prompts, members):
    def fail(server, path, body):
        if path == COMPLETIONS:
            return choices("one", "two")
        if path == LOAD and of_member(server, body, 0):
            return error(500, "rank 64 is above max_lora_rank", "InternalServerError")
        return None

    server.fault = fail
    found = engine_of(server, retries=0).complete(prompts, members, SHORT)
    assert found == [None, ["one", "two"], ["one", "two"]]


def test_no_member_at_all_is_an_error(server, prompts, members):
    server.fault = Scripted(LOAD, *[error(500, "rank above max_lora_rank", "Internal")] * 9)
    engine = engine_of(server, retries=0)
    with pytest.raises(EngineError, match=r"^ServerEngine: no member was served.*max_lora_rank"):
        engine.complete(prompts, members, SHORT)


def test_a_refused_request_is_an_error_and_nothing_stays_loaded(server, prompts, members):
    server.fault = Scripted(COMPLETIONS, error(400, "the prompt is too long", "BadRequestError"))
    with pytest.raises(EngineError, match=r"refused a request: 400 .*the prompt is too long"):
        engine_of(server).complete(prompts, members, SHORT)
    assert server.loaded == {}


def test_a_server_that_loads_no_adapters_is_told_of(server, prompts, members):
    server.fault = lambda server, path, body: (404, "Not Found") if path == LOAD else None
    with pytest.raises(EngineError, match=r"^ServerEngine: the server must load adapters at"):
        engine_of(server).complete(prompts, members, SHORT)


def test_answers_of_another_protocol_are_errors(server, prompts):
    engine = engine_of(server)
    server.fault = Scripted(COMPLETIONS, (200, "<html>"), (200, {"choices": []}))
    with pytest.raises(EngineError, match=r"must answer in JSON, got '<html>'"):
        engine.complete(prompts, [None], SHORT)
    with pytest.raises(EngineError, match=r"must have a choice for each of the 2 prompts, got 0"):
        engine.complete(prompts, [None], SHORT)


def test_the_name_of_the_model_and_the_key_are_sent(server, prompts):
    engine = engine_of(server, model=MODEL, api_key="secret")
    engine.complete(prompts[:1], [None], SHORT)
    assert all(headers["Authorization"] == "Bearer secret" for headers in server.headers)
    assert server.asked[-1][1]["model"] == MODEL
    with pytest.raises(EngineError, match=r"^ServerEngine: model must be one of \['tiny'\], got"):
        engine_of(server, model="x")
    server.fault = lambda server, path, body: error(401, "Unauthorized", "auth")
    with pytest.raises(EngineError, match=r"refused a request: 401"):
        engine_of(server)


def test_a_folder_may_have_another_path_on_the_server(server, own, prompts, members):
    moved = []
    engine = engine_of(server, path_on_server=lambda folder: moved.append(folder) or str(folder))
    engine.complete(prompts[:1], members[:1], SHORT)
    assert moved == members[:1]


def test_no_server_is_an_error():
    with pytest.raises(EngineError, match=r"^ServerEngine: no server answers"):
        ServerEngine("http://127.0.0.1:9", retries=0)


@pytest.mark.parametrize(
    ("name", "value"), [("retries", -1), ("parallel", 0), ("seconds", 0.0), ("seconds", -1.0)]
)
def test_wrong_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"^ServerEngine: {name} must be"):
        ServerEngine("http://127.0.0.1:9", **{name: value})


def test_texts_for_tokens_are_refused(server):
    engine = engine_of(server)
    with pytest.raises(TypeError, match=r"^ServerEngine: prompts must be lists of token ids"):
        engine.complete(["a film"], [None], SHORT)
    assert MODELS not in server.paths()
