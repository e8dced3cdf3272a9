"""Requests of JSON with a time limit and retries, by the standard library."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# What another try may change: the server is busy, restarting or behind a gateway.
_PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class EngineError(RuntimeError):
    """An engine that does not do what it is asked for."""


class UnavailableError(Exception):
    """A request that failed at every try, where a later one may succeed."""


class Answer(NamedTuple):
    """What a server said."""

    status: int
    text: str  # of its body


class Client:
    """Sends requests to one server.

    Args:
      url: Where it is, without a path: ``"http://localhost:8000"``.
      headers: Sent with every request.
      seconds: The time limit of a request.
      retries: How often a request is sent again.
      pause: Seconds before the first retry; each later pause is twice as long.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        *,
        seconds: float,
        retries: int,
        pause: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **headers}
        self._seconds, self._retries = seconds, retries
        self._pause, self._sleep = pause, sleep

    def send(self, path: str, body: Any = None) -> Answer:
        """Post ``body`` as JSON, or get where it is None.

        Returns:
          The answer, also one that refuses the request.

        Raises:
          UnavailableError: Every try ended without an answer, or with one that says to come again.
        """
        failure = ""
        for attempt in range(self._retries + 1):
            if attempt:
                self._sleep(self._pause * 2.0 ** (attempt - 1))
            try:
                answer = self._once(path, body)
            except (OSError, HTTPException) as error:
                failure = f"{type(error).__name__}: {error}"
            else:
                if answer.status not in _PASSING:
                    return answer
                failure = f"{answer.status} {answer.text[:500]}"
            message = "%s%s failed at try %d of %d: %s"
            tries = attempt + 1, self._retries + 1
            logging.getLogger("zojax").info(message, self.url, path, *tries, failure)
        raise UnavailableError(f"{self.url}{path}: {failure}")

    def _once(self, path: str, body: Any) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, self._headers)
        try:
            with urlopen(request, timeout=self._seconds) as response:
                return Answer(response.status, response.read().decode("utf-8", "replace"))
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode("utf-8", "replace"))
