"""How each contender is imported, constructed and asked. All ask the same server for the same."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

MESSAGES = [{"role": "user", "content": "你好"}]
KEY = "benchmark-key"
TIMEOUT = 600
"""Seconds, also for a connection: the SDK gives it 5, which it can need more than with 1,000 streams at once."""

IMPORTS = {
    "plain": "from openai import OpenAI",
    "plain-aiohttp": "from openai import OpenAI",
    "ours": "from aitoearn_openai import OpenAI",
    "ours-aiohttp": "from aitoearn_openai import OpenAI",
    "litellm": "import litellm",
    "langchain": "from langchain_openai import ChatOpenAI",
    "langfuse": "from langfuse.openai import OpenAI",
    "portkey": "from portkey_ai import Portkey",
    "groq": "from groq import Groq",
    "httpx2": "import httpx2",
    "aiohttp": "import aiohttp",
    "socket": "import asyncio",
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
        "GROQ_API_KEY": KEY,
        "GROQ_BASE_URL": base_url,
        "LANGFUSE_BASE_URL": base_url,
        "LANGFUSE_PUBLIC_KEY": KEY,
        "LANGFUSE_SECRET_KEY": KEY,
        "LANGFUSE_TRACING_ENABLED": "false",
        "LANGSMITH_TRACING": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "NO_PROXY": "*",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": base_url,
        "PORTKEY_API_KEY": KEY,
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

    async def async_call(self, client: Any, model: str) -> Any:
        answer = await client.chat.completions.create(model=model, messages=MESSAGES)
        return answer.choices[0].message.content

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async for chunk in await client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            yield chunk.choices[0].delta.content

    def models(self, client: Any, size: int) -> Any:
        listing = client.copy(base_url=f"{os.environ['BENCHMARK_BASE_URL']}/list-{size}")
        return lambda: len(listing.models.list().data)

    async def close(self, client: Any) -> None:
        await client.close()


class SDKOnAiohttp(SDK):
    def async_client(self) -> Any:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        return AsyncOpenAI(timeout=TIMEOUT, http_client=DefaultAioHttpClient())


class Ours(SDK):
    def client(self) -> Any:
        from aitoearn_openai import OpenAI

        return OpenAI()

    def async_client(self) -> Any:
        from aitoearn_openai import AsyncOpenAI

        return AsyncOpenAI(timeout=TIMEOUT)


class Langfuse(SDK):
    def client(self) -> Any:
        from langfuse.openai import OpenAI

        return OpenAI()

    def async_client(self) -> Any:
        from langfuse.openai import AsyncOpenAI

        return AsyncOpenAI(timeout=TIMEOUT)


class Portkey(SDK):
    def client(self) -> Any:
        from portkey_ai import Portkey

        return Portkey(base_url=os.environ["BENCHMARK_BASE_URL"])

    def async_client(self) -> Any:
        from portkey_ai import AsyncPortkey

        return AsyncPortkey(base_url=os.environ["BENCHMARK_BASE_URL"])

    async def close(self, client: Any) -> None:
        await client.openai_client.close()


class Groq(SDK):
    def client(self) -> Any:
        from groq import Groq

        return Groq()

    def async_client(self) -> Any:
        import httpx
        from groq import AsyncGroq, DefaultAsyncHttpxClient

        # The others' limits: its own let 100 connections through, and so 100 streams.
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
        return AsyncGroq(timeout=TIMEOUT, http_client=DefaultAsyncHttpxClient(limits=limits))


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

    async def async_call(self, client: Any, model: str) -> Any:
        return (await client.ainvoke(MESSAGES, model=model)).content

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

    async def async_call(self, client: Any, model: str) -> Any:
        from litellm import acompletion

        return (await acompletion(**self._arguments(model))).choices[0].message.content

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

    async def async_call(self, client: Any, model: str) -> Any:
        answer = (await client.post("chat/completions", json=_body(model))).json()
        return answer["choices"][0]["message"]["content"]

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async with client.stream("POST", "chat/completions", json=_body(model, True)) as response:
            async for line in response.aiter_lines():
                if text := _text(line):
                    yield text

    async def close(self, client: Any) -> None:
        await client.aclose()


class Aiohttp:
    client = None

    def async_client(self) -> Any:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0)
        return aiohttp.ClientSession(f"{os.environ['BENCHMARK_BASE_URL']}/", connector=connector)

    async def async_call(self, client: Any, model: str) -> Any:
        async with client.post("chat/completions", json=_body(model)) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        async with client.post("chat/completions", json=_body(model, True)) as response:
            async for line in response.content:
                if text := _text(line):
                    yield text

    async def close(self, client: Any) -> None:
        await client.close()


class Socket:
    """As little as there can be: a pool of connections, requests by hand, `json` for the bodies."""

    client = None

    def async_client(self) -> list[Any]:
        return []

    async def _ask(self, pool: Any, body: dict[str, Any]) -> Any:
        url = urlsplit(os.environ["BENCHMARK_BASE_URL"])
        reader, writer = pool.pop() if pool else await asyncio.open_connection(url.hostname, url.port)
        content = json.dumps(body).encode()
        head = f"POST {url.path}/chat/completions HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        return reader, writer, await reader.readuntil(b"\r\n\r\n")

    async def async_call(self, client: Any, model: str) -> Any:
        reader, writer, head = await self._ask(client, _body(model))
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        client.append((reader, writer))
        return answer["choices"][0]["message"]["content"]

    async def async_stream(self, client: Any, model: str) -> AsyncIterator[Any]:
        reader, writer, _ = await self._ask(client, _body(model, True))
        while size := int(await reader.readline(), 16):
            if text := _text(await reader.readexactly(size)):
                yield text
            await reader.readline()
        await reader.readline()
        client.append((reader, writer))

    async def close(self, client: Any) -> None:
        for _, writer in client:
            writer.close()


CONTENDERS: dict[str, Any] = {
    "plain": SDK,
    "plain-aiohttp": SDKOnAiohttp,
    "ours": Ours,
    "ours-aiohttp": Ours,
    "litellm": LiteLLM,
    "langchain": LangChain,
    "langfuse": Langfuse,
    "portkey": Portkey,
    "groq": Groq,
    "httpx2": Httpx2,
    "aiohttp": Aiohttp,
    "socket": Socket,
}
