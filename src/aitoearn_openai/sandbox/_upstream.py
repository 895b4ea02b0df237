"""An engine behind the sandbox: any OpenAI-compatible server answers in the place of the canned replies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
from starlette.responses import Response, StreamingResponse

from .._models import ChatModel, read
from .._pools import make_pool
from .._sdk.exceptions import family_of
from ._failures import Refused
from ._request import dig

_TRANSPORT_ERRORS = family_of(openai.DefaultAsyncHttpxClient).RequestError
# The second is AiToEarn's own, for a sandbox or a self-hosted server as the engine.
_LIST_PATHS = ("/models", "/models/chat")


class Engine:
    """An OpenAI-compatible server at a base URL such as `http://localhost:11434/v1`, with its own key."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        # Not an SDK client: bytes pass through here as they are, and retries are the caller's affair.
        self._http = make_pool(is_async=True, base_url=url)
        if key:
            self._http.headers["Authorization"] = f"Bearer {key}"
        self._known: set[str] = set()

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """Its models as entries of the service's list, asked for each time."""
        for path in _LIST_PATHS:
            with self._refusing():
                answer = await self._http.get(self.url + path)
            with contextlib.suppress(ValueError):
                entries = dig(answer.json(), "data")
                if isinstance(entries, list):
                    entries = [_entry(entry) for entry in entries if read(ChatModel, [entry])]
                    self._known = {entry["name"] for entry in entries}
                    return entries
        raise self._failed(f"has no model list (HTTP {answer.status_code})")

    async def has(self, name: str) -> bool:
        """Whether it lists a model of that name; a name that is not known yet is asked for anew."""
        if name not in self._known:
            await self.models()
        return name in self._known

    async def answer(
        self, path: str, body: bytes, content_type: str, request_id: str, ending: bytes
    ) -> Response:
        """Its answer to a request, byte by byte; `ending` ends a stream that breaks off."""
        request = self._http.build_request(
            "POST",
            self.url + path,
            content=body,
            headers={"Content-Type": content_type, "Accept-Encoding": "identity"},
        )
        with self._refusing():
            answer = await self._http.send(request, stream=True)
            kind = answer.headers.get("Content-Type", "")
            if answer.is_success and "event-stream" in kind:
                return StreamingResponse(
                    _relay(answer, ending), headers={"Content-Type": kind, "X-Request-Id": request_id}
                )
            content = await answer.aread()
        if not answer.is_success:
            message = " ".join(content[:300].decode(errors="replace").split())
            raise self._failed(f"answered HTTP {answer.status_code}: {message}")
        return Response(content, headers={"Content-Type": kind, "X-Request-Id": request_id})

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except _TRANSPORT_ERRORS as error:
            raise self._failed(f"cannot be reached: {error or type(error).__name__}") from None

    def _failed(self, how: str) -> Refused:
        return Refused(12301, f"AI model call failed: the engine at {self.url} {how}")


def _entry(engines: dict[str, Any]) -> dict[str, Any]:
    """A model as the service lists it; an entry of an AiToEarn server stays as it is. No credits are charged here."""
    if "id" not in engines:
        return engines
    return {
        "name": str(engines["id"]),
        "label": str(engines.get("name") or engines["id"]),
        "channel": str(engines.get("owned_by") or ""),
        "inputModalities": dig(engines, "architecture", "input_modalities") or ["text"],
        "outputModalities": dig(engines, "architecture", "output_modalities") or ["text"],
        "pricing": {"price": "0"},
    }


async def _relay(answer: Any, ending: bytes) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_bytes():
            yield piece
    except _TRANSPORT_ERRORS:
        yield b"\n\n" + ending
    finally:
        await answer.aclose()
