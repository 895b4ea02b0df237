"""What this package promises whatever the SDK, as a program: `python promises.py` prints each promise that is broken.

An error that says that this SDK is not supported is not a broken promise: it is printed as `loud: ...`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

os.environ |= {
    "OPENAI_CUSTOM_HEADERS": "X-Leak: custom",
    "OPENAI_ORG_ID": "leaked-organization",
    "OPENAI_PROJECT_ID": "leaked-project",
    "AITOEARN_API_KEY": "the-key",
}

ENVELOPE = {"data": {}, "code": 12001, "message": "no credits"}
CHUNK = {
    "id": "1",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "hello"}}],
}
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


def events(*datas: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(data)}\n\n" for data in datas)


REPLIES = {
    "right": ("application/json", json.dumps(ANSWER)),
    "right-stream": ("text/event-stream", events(CHUNK) + "data: [DONE]\n\n"),
    "envelope": ("application/json", json.dumps(ENVELOPE)),
    "envelope-in-stream": ("text/event-stream", events(CHUNK, ENVELOPE)),
    "text-in-stream": ("text/event-stream", events(CHUNK) + "event: error\ndata: broke\n\n"),
    "page": ("text/html", "<p>hello"),
    "broken": ("application/json", '{"choices": [{'),
}
sent: list[dict[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        sent.append({name.lower(): value for name, value in self.headers.items()})
        request = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        listing = json.dumps({"code": 0, "data": [{"name": "m"}]})
        kind, body = REPLIES[json.loads(request)["model"]] if request else ("application/json", listing)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    os.environ["AITOEARN_BASE_URL"] = f"http://127.0.0.1:{server.server_port}"

    import openai

    from aitoearn_openai import AsyncOpenAI, OpenAI, chat

    def ask(client: Any, model: str, way: str) -> Any:
        completions = client.chat.completions
        if way == "raw":
            completions = completions.with_raw_response
        elif way == "unread":
            completions = completions.with_streaming_response
        more = {"stream": True} if way == "stream" else {}
        return completions.create(model=model, messages=[{"role": "user", "content": "hi"}], **more)

    def said_sync(model: str, way: str) -> str:
        with OpenAI(max_retries=0) as client:
            answer = ask(client, model, way)
            if way == "stream":
                return "".join(chunk.choices[0].delta.content for chunk in answer)
            if way == "unread":
                with answer as response:
                    if response.http_response.is_stream_consumed:
                        return "read too early"
                    answer = response.parse()
            elif way == "raw":
                answer = answer.parse()
            return str(answer.choices[0].message.content)

    async def said_async(model: str, way: str) -> str:
        async with AsyncOpenAI(max_retries=0) as client:
            answer = ask(client, model, way)
            if way == "unread":
                async with answer as response:
                    if response.http_response.is_stream_consumed:
                        return "read too early"
                    answer = await response.parse()
                return str(answer.choices[0].message.content)
            answer = await answer
            if way == "stream":
                return "".join([chunk.choices[0].delta.content async for chunk in answer])
            answer = answer.parse() if way == "raw" else answer
            return str(answer.choices[0].message.content)

    def listed() -> str:
        with OpenAI() as client:
            client.models.list()
        return "" if sent[-1].get("x-api-key") == "the-key" else "no X-Api-Key"

    def of_the_module() -> str:
        message: Any = {"role": "user", "content": "hi"}
        answer = chat.completions.create(model="right", messages=[message])
        return str(answer.choices[0].message.content)

    promises: list[tuple[str, Callable[[], Any], Any]] = [
        ("the model list has both keys", listed, ""),
        ("the module is a client", of_the_module, "hello"),
    ]
    for way in ("whole", "raw", "unread", "stream"):
        models = {
            "right-stream" if way == "stream" else "right": "hello",
            "envelope": 402,
            "page": openai.APIError,
        }
        if way == "stream":
            models |= {"envelope-in-stream": 402, "text-in-stream": openai.APIError}
        else:
            models["broken"] = openai.APIError
        for model, due in models.items():
            promises.append((f"{model}, {way}, sync", lambda m=model, w=way: said_sync(m, w), due))
            promises.append(
                (f"{model}, {way}, async", lambda m=model, w=way: asyncio.run(said_async(m, w)), due)
            )
    for name, promise, due in promises:
        try:
            got = promise()
        except openai.OpenAIError as error:
            if "cannot work with openai" in str(error):
                print(f"loud: {name}: {error}")
                continue
            got = getattr(error, "status_code", type(error))
            if got == 402 and "AiToEarn code 12001" not in str(error):
                got = str(error)
            if isinstance(due, type) and isinstance(error, due):
                continue
        except Exception as error:  # noqa: BLE001 - what comes out is the question
            got = error
        if got != due:
            print(f"broken: {name}: {got!r}, and not {due!r}")
    for headers in sent:
        leaked = [value for value in headers.values() if "leaked" in value or value == "custom"]
        if leaked:
            print(f"broken: {leaked} was sent")
            break


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        print(f"loud: {error}")
        sys.exit(0)
