"""How each contender is imported, constructed and asked. All ask the same server for the same."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

MESSAGES = [{"role": "user", "content": "你好"}]
KEY = "benchmark-key"
TIMEOUT = 600
"""Seconds, also for a connection: the SDK gives it 5, which it can need more than with 1,000 streams at once."""

IMPORTS = {
    "plain": "from openai import OpenAI",
    "relay": "from openai import OpenAI",
    "relay-aiohttp": "from openai import OpenAI",
    "ours": "from aitoearn_openai import OpenAI",
    "ours-aiohttp": "from aitoearn_openai import OpenAI",
    "litellm": "import litellm",
    "langchain": "from langchain_openai import ChatOpenAI",
    "httpx2": "import httpx2",
}


def environment(name: str, base_url: str) -> dict[str, str]:
    """The variables of a contender; what would reach beyond loopback, or report to others, is off."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
    return {
        **kept,
        "AITOEARN_API_KEY": KEY,
        "AITOEARN_BASE_URL": base_url,
        "AITOEARN_HTTP_BACKEND": "aiohttp" if name == "ours-aiohttp" else "httpx",
        "AIOHTTP_CONNECTOR_LIMIT_PER_HOST": "1000",  # Of litellm, as the others have it.
        "LANGSMITH_TRACING": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "NO_PROXY": "*",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": base_url,
        "BENCHMARK_BASE_URL": base_url,
    }


class SDK:
    """The SDK's interface, which most have. Each method's twin differs by `await`."""

    def client(self) -> Any:
        from openai import OpenAI

        return OpenAI()

    def async_client(self) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(timeout=TIMEOUT)

    def call(self, client: Any, model: str) -> Any:
        return client.chat.completions.create(model=model, messages=MESSAGES).choices[0].message.content

    def stream(self, client: Any, model: str) -> Iterator[Any]:
        for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async for chunk in await client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content

    def models(self, client: Any, size: int) -> Any:
        listing = client.copy(base_url=f"{os.environ['BENCHMARK_BASE_URL']}/list-{size}")
        return lambda: len(listing.models.list().data)

    async def close(self, client: Any) -> None:
        await client.close()


class Ours(SDK):
    def client(self) -> Any:
        from aitoearn_openai import OpenAI

        return OpenAI()

    def async_client(self) -> Any:
        from aitoearn_openai import AsyncOpenAI

        return AsyncOpenAI(timeout=TIMEOUT)


class LangChain:
    def client(self) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="any", base_url=os.environ["BENCHMARK_BASE_URL"], use_responses_api=False)

    async_client = client

    def call(self, client: Any, model: str) -> Any:
        return client.invoke(MESSAGES, model=model).content

    def stream(self, client: Any, model: str) -> Iterator[Any]:
        for chunk in client.stream(MESSAGES, model=model):
            yield chunk.content

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async for chunk in client.astream(MESSAGES, model=model):
            yield chunk.content

    async def close(self, client: Any) -> None:
        pass


class LiteLLM:
    """Functions: there is no client to construct."""

    async_client = client = None

    def _arguments(self, model: str) -> dict[str, Any]:
        return {
            "model": f"openai/{model}",
            "messages": MESSAGES,
            "api_base": os.environ["BENCHMARK_BASE_URL"],
            "api_key": KEY,
        }

    def call(self, client: Any, model: str) -> Any:
        from litellm import completion

        return completion(**self._arguments(model)).choices[0].message.content

    def stream(self, client: Any, model: str) -> Iterator[Any]:
        from litellm import completion

        for chunk in completion(**self._arguments(model), stream=True):
            yield chunk.choices[0].delta.content

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        from litellm import acompletion

        async for chunk in await acompletion(**self._arguments(model), stream=True):
            yield chunk.choices[0].delta.content

    async def close(self, client: Any) -> None:
        pass


def _body(model: str, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, **({"stream": True} if stream else {})}


def _text(line: str | bytes) -> Any:
    """The text in a line of a stream, or None if it holds none."""
    if len(line) < 20:  # Between events, and the end.
        return None
    return json.loads(line[6:])["choices"][0]["delta"]["content"]


class Httpx2:
    def _options(self) -> dict[str, Any]:
        import httpx2

        # The SDK's limits: httpx2's own let too few connections through.
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
        return {"base_url": os.environ["BENCHMARK_BASE_URL"], "limits": limits, "timeout": TIMEOUT}

    def client(self) -> Any:
        import httpx2

        return httpx2.Client(**self._options())

    def async_client(self) -> Any:
        import httpx2

        return httpx2.AsyncClient(**self._options())

    def call(self, client: Any, model: str) -> Any:
        answer = client.post("chat/completions", json=_body(model)).json()
        return answer["choices"][0]["message"]["content"]

    def stream(self, client: Any, model: str) -> Iterator[Any]:
        with client.stream("POST", "chat/completions", json=_body(model, True)) as response:
            for line in response.iter_lines():
                if text := _text(line):
                    yield text

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async with client.stream("POST", "chat/completions", json=_body(model, True)) as response:
            async for line in response.aiter_lines():
                if text := _text(line):
                    yield text

    async def close(self, client: Any) -> None:
        await client.aclose()


CONTENDERS: dict[str, Any] = {
    "plain": SDK,
    "relay": SDK,
    "relay-aiohttp": SDK,
    "ours": Ours,
    "ours-aiohttp": Ours,
    "litellm": LiteLLM,
    "langchain": LangChain,
    "httpx2": Httpx2,
}
