"""What the tests share: a clean environment, the sandbox, a scripted server, and one way to ask sync and async."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import cycle
from threading import Lock, Thread
from types import FunctionType
from typing import Any

import anyio
import openai
import pytest
import trustme

import aitoearn_openai
from aitoearn_openai import sandbox
from aitoearn_openai._sdk.exceptions import family_of
from faults.runner import driven, wait

# A shell starts its background jobs deaf to Ctrl-C, and so would be the programs that tests start from there.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let openai 1.x leave a connection behind: it closes no stream that an error ends, and aiohttp says so."""
    if openai.__version__.startswith("1."):
        config.addinivalue_line("filterwarnings", "ignore:Unclosed connection:ResourceWarning")


SLOW = {"fuzz", "load", "plugin", "relay", "renames"}
"""The first words of the modules in which nearly every test takes over a second, or changes what is imported."""

PROCESSES = {"Popen", "TerminalProcess", "run_process", "subprocess"}
"""What starts a process: with Python and the SDK in it that takes over a second, all else mostly does not."""

SDK = {"answers", "cassettes", "clients", "fast", "faults", "hooks", "models", "module", "pools"}
SDK |= {"renames", "secrets", "streams", "travel"}
"""The first words of the modules whose outcome may depend on the version of the SDK, besides all of parity/."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark what starts a process, the modules of `SLOW`, most rows of long tables, and the modules of `SDK`."""
    rows: Counter[Any] = Counter()
    for item in items:
        rows[item.function] += 1
        if rows[item.function] % 7 > 2:  # Seven, as tables repeat in twos (sync, async) and threes.
            item.add_marker(pytest.mark.row)
        word = item.path.stem.split("_")[1:2]
        if SLOW.intersection(word) or starts_a_process(item.function):
            item.add_marker(pytest.mark.slow)
        if SDK.intersection(word) or item.path.parent.name == "parity":
            item.add_marker(pytest.mark.sdk)


def starts_a_process(test: Any) -> bool:
    """Whether it does so by itself, or by a function of its module."""
    names = set(test.__code__.co_names)
    near = [test.__globals__.get(name) for name in names]
    for each in near:
        if isinstance(each, FunctionType) and each.__module__ == test.__module__:
            names.update(each.__code__.co_names)
    return not PROCESSES.isdisjoint(names)


KEY = "sk-0123456789-abcdefghij"
LIBRARY: Any = family_of(openai.DefaultHttpxClient)
"""The httpx that the installed SDK uses."""
MESSAGES: Any = [{"role": "user", "content": "你好"}]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in os.environ:
        if name.upper().startswith(("AITOEARN_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The authorities of the machine, which no test needs, are nearly all of the time that a client takes."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries of which the server does not say when come at once."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)


@pytest.fixture(scope="session")
def site() -> Iterator[sandbox.Sandbox]:
    with sandbox.serve() as site:
        yield site


@dataclass
class Asker:
    """Asks one thing of a client and closes it; the async one behaves the same to a test."""

    is_async: bool
    modules: Any = aitoearn_openai
    backend: str = "asyncio"

    def client(self, **arguments: Any) -> Any:
        return (self.modules.AsyncOpenAI if self.is_async else self.modules.OpenAI)(**arguments)

    def run(self, ask: Callable[[Any], Any], **arguments: Any) -> Any:
        """The result of `ask(client)`, awaited and drained as its kind needs; one coroutine function asks both."""
        if self.is_async:
            return anyio.run(self._run_async, ask, arguments, backend=self.backend)
        with self.client(**arguments) as client:
            result = ask(client)
            result = driven(result) if inspect.iscoroutine(result) else result
            return list(result) if isinstance(result, openai.Stream) else result

    async def _run_async(self, ask: Callable[[Any], Any], arguments: dict[str, Any]) -> Any:
        async with self.client(**arguments) as client:
            result = await ask(client)
            return [chunk async for chunk in result] if isinstance(result, openai.AsyncStream) else result

    def ask(self, server: ScriptedServer, wanted: Callable[[Any], Any], *replies: Reply) -> Any:
        """What a client without retries makes of these replies."""
        server.answer(*replies)
        return self.run(wanted, base_url=server.base_url, api_key="k", max_retries=0)


AIOHTTP = find_spec("aiohttp") is not None
"""Whether the extra that the SDK's aiohttp client needs is installed."""
WAYS = ["sync", "async", *["aiohttp"] * AIOHTTP]


@pytest.fixture(params=WAYS)
def asker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Asker:
    if request.param == "aiohttp":
        monkeypatch.setenv("AITOEARN_HTTP_BACKEND", "aiohttp")
    return Asker(is_async=request.param != "sync")


def in_turns(names: str, cases: Iterable[Any]) -> pytest.MarkDecorator:
    """Each case asked in one way, and the ways in turn: for cases that have nothing to do with the way."""
    rows = [
        (way, *(case if isinstance(case, tuple) else (case,)))
        for way, case in zip(cycle(WAYS), cases, strict=False)
    ]
    return pytest.mark.parametrize(f"asker,{names}", rows, indirect=["asker"])


def complete(model: str, **arguments: Any) -> Callable[[Any], Any]:
    return lambda client: client.chat.completions.create(model=model, messages=MESSAGES, **arguments)


def stream(model: str, **arguments: Any) -> Callable[[Any], Any]:
    return complete(model, stream=True, **arguments)


def raw(ask: Callable[[Any], Any], **parse: Any) -> Callable[[Any], Any]:
    """Parse what `ask(client.with_raw_response)` gives."""

    async def asked(client: Any) -> Any:
        return (await wait(ask(client.with_raw_response))).parse(**parse)

    return asked


def draw(model: str) -> Callable[[Any], Any]:
    return lambda client: client.images.generate(model=model, prompt="a cat")


def list_models(client: Any) -> Any:
    return client.models.list()


@dataclass
class Reply:
    """An answer of the scripted server, sent to the letter."""

    body: bytes | str | dict[str, Any] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = "application/json"
    reason: str | None = None
    """What stands behind the status."""

    def encoded(self) -> bytes:
        body = json.dumps(self.body) if isinstance(self.body, dict) else self.body
        return body.encode() if isinstance(body, str) else body


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """A server on loopback that gives the replies it is told and remembers what it was asked."""

    replies: list[Reply] = field(default_factory=list)
    paths: dict[str, Reply] = field(default_factory=dict)
    """What is answered, whatever the replies are, where the path ends so."""
    requests: list[Request] = field(default_factory=list)
    origin: str = ""
    turn: Lock = field(default_factory=Lock)

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/ai"

    def answer(self, *replies: Reply) -> None:
        """Give these, one for each request, the last one again and again."""
        self.replies = list(replies)

    def lists(self, *models: dict[str, Any]) -> None:
        """Have these in each list of models, whatever the replies are."""
        kinds = "chat", "image/generation", "image/edit"
        self.paths |= {f"/models/{kind}": Reply({"code": 0, "data": [*models]}) for kind in kinds}

    def reply_to(self, path: str) -> Reply:
        for end, reply in self.paths.items():
            if path.endswith(end):
                return reply
        return self.next_reply()

    def next_reply(self) -> Reply:
        with self.turn:  # Each connection has a thread of its own.
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture
def other_server() -> Iterator[ScriptedServer]:
    with scripted_server() as scripted:
        yield scripted


@pytest.fixture
def sandboxed(site: sandbox.Sandbox, no_waiting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the sandbox by its settings."""
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)


@pytest.fixture
def scripted(server: ScriptedServer, no_waiting: None, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """The command finds the scripted server by its settings."""
    monkeypatch.setenv("AITOEARN_BASE_URL", server.origin)
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    return server


@contextlib.contextmanager
def scripted_server(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one piece: in two, the second waits 40 ms for TCP's word on the first.
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # The client is done with the connection.
                super().handle()

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            scripted.requests.append(Request(self.command, self.path, headers, self.read_body()))
            reply = scripted.reply_to(self.path)
            content = reply.encoded()
            self.send_response(reply.status, reply.reason)
            sent = {"Content-Type": reply.content_type} if reply.content_type else {}
            if "Transfer-Encoding" not in reply.headers:
                sent["Content-Length"] = str(len(content))
            for name, value in {**sent, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # With the 5 of the library, some of many connections at once are reset.

    with Server(("127.0.0.1", 0), Handler) as httpd:
        if tls:
            wrapped = tls.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
            httpd.socket = wrapped
        thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        scripted.origin = f"{'https' if tls else 'http'}://127.0.0.1:{httpd.server_port}"
        try:
            yield scripted
        finally:
            httpd.shutdown()
            thread.join()
