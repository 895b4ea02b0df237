"""The relay, asked by the plain SDK and by bare HTTP over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from aitoearn_openai import Settings, relay, sandbox
from aitoearn_openai._sdk.exceptions import family_of
from conftest import AIOHTTP, MESSAGES, Reply, ScriptedServer, complete, draw, list_models, stream
from faults.runner import KEY
from faults.server import Hang, Repeat, Server, Step, head
from faults.table import CHUNKS, DONE, SSE, chunk

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": MESSAGES}
COMPLETION = Reply(
    {"id": "c-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}
)


@pytest.fixture(scope="module")
def here(site: sandbox.Sandbox) -> Iterator[relay.Relay]:
    """A relay in front of the sandbox."""
    with relay.serve(settings=site.settings) as here:
        yield here


@pytest.fixture
def before(server: ScriptedServer) -> Iterator[relay.Relay]:
    """A relay in front of the scripted server."""
    with relay.serve(settings=settings_of(server)) as here:
        yield here


def settings_of(server: ScriptedServer, **more: Any) -> Settings:
    return Settings(base_url=server.origin, api_key=KEY, **more)


def ask(here: relay.Relay, ask: Callable[[Any], Any], **arguments: Any) -> Any:
    """What the plain SDK gets; a stream is read to its end."""
    arguments = {"base_url": here.base_url, "api_key": here.api_key, "max_retries": 0, **arguments}
    with openai.OpenAI(**arguments) as client:
        got = ask(client)
        return list(got) if isinstance(got, openai.Stream) else got


def send(
    url: str, path: str, body: Any = None, token: str = "", method: str | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """The response and its body; an object as the body goes out as JSON."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    sent = {"Content-Type": "application/json"} if body is not None else {}
    sent |= {"Authorization": f"Bearer {token}"} if token else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, content, sent)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def error_of(answer: tuple[http.client.HTTPResponse, bytes]) -> tuple[int, dict[str, Any]]:
    response, content = answer
    assert response.headers["Content-Type"] == "application/json"
    return response.status, json.loads(content)["error"]


# --- what it answers


def test_the_models_have_the_form_of_openai(here: relay.Relay, site: sandbox.Sandbox) -> None:
    """Their names and vendors; one is found by its name or its label."""
    models = ask(here, list_models)
    with openai.OpenAI(base_url=here.base_url, api_key=here.api_key) as client:
        one = client.models.retrieve("GLM 5.2")

    assert len(models.data) == 11
    assert {model.object for model in models} == {"model"}
    assert one.to_dict() == {"id": "glm-5.2", "object": "model", "created": 0, "owned_by": "zhipu"}
    with pytest.raises(
        openai.NotFoundError, match=r"no model 'glm-5'\. The closest names? (is|are) glm-5\.2"
    ) as failed:
        ask(here, lambda client: client.models.retrieve("glm-5"))
    assert failed.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match=r"no model 'some/body'\."):
        ask(here, lambda client: client.models.retrieve("some/body"))


BEHAVIOURS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reasoning": {"model": "deepseek-v4"},
    "several": {"n": 3},
    "cut": {"max_tokens": 2},
    "tools": {
        "tools": [{"type": "function", "function": {"name": "now"}}],
        "tool_choice": "required",
    },
    "JSON": {"response_format": {"type": "json_object"}},
    "unknown fields": {"stream_options": None, "x": {"stream": True}},
}


@pytest.mark.parametrize("name", BEHAVIOURS)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_has_the_same_bytes_with_and_without_the_relay(
    here: relay.Relay, site: sandbox.Sandbox, name: str, streamed: bool
) -> None:
    """Whole and streamed, with the request id of the caller."""
    body = {"model": "glm-5.2", "messages": MESSAGES, **BEHAVIOURS[name], "stream": streamed}
    if streamed:
        body["stream_options"] = {"include_usage": True}
    through, content = send(here.base_url, CHAT, body, here.api_key, X_Request_Id="r-1")
    direct, same = send(site.base_url, "/api/ai/chat/completions", body, "sandbox", X_Request_Id="r-1")

    assert content == same
    assert (through.status, through.headers["X-Request-Id"]) == (200, "r-1")
    assert through.headers["Content-Type"] == direct.headers["Content-Type"]


def test_images_are_made_and_edited(here: relay.Relay) -> None:
    """Also from a form with a file."""
    assert ask(here, draw("gpt-image-2")).data
    edited = ask(
        here,
        lambda client: client.images.edit(
            model="gpt-image-2", prompt="a cat", image=("cat.png", b"\x89PNG", "image/png")
        ),
    )
    assert edited.data
    with pytest.raises(openai.APIStatusError, match="Insufficient credits"):
        ask(here, draw("fail-12001"))


def test_the_paths_are_found_with_and_without_v1(here: relay.Relay) -> None:
    """As programs put an address together in many ways."""
    body = {"model": "glm-5.2", "messages": MESSAGES}
    for prefix in ("", "/v1", "/v1/v1", "/", "/v1/", "//v1"):
        for path, sent in (("models/", None), ("models/glm-5.2", None), ("chat/completions", body)):
            assert send(here.base_url, f"{prefix}/{path}", sent, here.api_key)[0].status == 200


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/v1/responses", "Responses API: set the program to use chat completions."),
        ("GET", "/responses/r-1", "Responses API"),
        ("POST", "/v1/embeddings", "POST /embeddings; it has GET /models and POST /chat/completions"),
        ("GET", "/v1/chat/completions", "GET /chat/completions"),
        ("GET", "/", "GET /"),
        ("GET", "/v1", "GET /"),
    ],
)
def test_what_the_service_lacks_is_a_404_that_says_so(
    here: relay.Relay, method: str, path: str, told: str
) -> None:
    """In OpenAI's form."""
    body = b"{}" if method == "POST" else None
    got, error = error_of(send(here.base_url, path, body, here.api_key, method))

    assert (got, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
    assert error["message"].startswith(f"AiToEarn has no {told}")


# --- failures


@pytest.mark.parametrize(
    ("name", "status", "told"),
    [
        ("fail-401", 401, "Unauthorized (AiToEarn code 401, "),
        ("fail-12001", 402, "Insufficient credits (AiToEarn code 12001, "),
        ("fail-10003", 429, "Too many requests, please try again after 1 seconds (AiToEarn code 10003, "),
        ("fail-10003-zh", 429, "请求过于频繁，请在1秒后重试 (AiToEarn code 10003, "),
        ("fail-12300", 404, "Model not found (AiToEarn code 12300, "),
        ("fail-12301", 502, "AI model call failed (AiToEarn code 12301, "),
        ("fail-19999", 400, "Operation failed (AiToEarn code 19999, "),
        ("fail-html", 502, "Check the base URL: AiToEarn's ends in /api/ai."),
    ],
)
def test_a_failure_in_http_200_gets_its_status(here: relay.Relay, name: str, status: int, told: str) -> None:
    """With the service's words and code, and what else programs look at, whatever was asked."""
    for ask_for in (complete, stream, draw):
        with pytest.raises(openai.APIStatusError) as failed:
            ask(here, ask_for(name))
        error, headers = failed.value, failed.value.response.headers

        assert error.status_code == status
        assert told in error.message
        if name != "fail-html":
            assert error.code == name.split("-")[1]
            assert f"request id {headers['x-request-id']})" in error.message
        assert headers.get("retry-after") == ("1" if status == 429 else None)
        assert "belongs to the one site" not in error.message


def test_a_key_of_the_other_site_is_what_to_look_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AiToEarn itself refuses it."""
    family = family_of(openai.DefaultAsyncHttpxClient)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"error": {"message": "No such key."}}'

    refused = family.MockTransport(lambda _: family.Response(401, content=body()))
    monkeypatch.setattr(
        "aitoearn_openai.relay._service.make_pool", lambda **_: family.AsyncClient(transport=refused)
    )
    with (
        relay.serve(settings=Settings(site="cn", api_key=KEY)) as here,
        pytest.raises(
            openai.AuthenticationError, match=r"No such key\. The key was sent to https://aitoearn\.cn"
        ),
    ):
        ask(here, complete("m"))


def test_the_model_list_fails_in_the_same_form(server: ScriptedServer, before: relay.Relay) -> None:
    """An envelope, a page, and things that are not a list."""
    for answer, error, told in (
        (Reply({"code": 19000, "message": "invalid API key"}), openai.APIStatusError, "invalid API key"),
        (Reply("<html>", content_type="text/html"), openai.InternalServerError, "Check the base URL"),
        (Reply({"code": 0, "data": {}}), openai.InternalServerError, "where a model list was expected"),
        (Reply("[1]"), openai.InternalServerError, "where a model list was expected"),
        (Reply("", status=302, headers={"Location": "/"}), openai.InternalServerError, "HTTP 302"),
    ):
        server.answer(answer)
        for listing in (list_models, lambda client: client.models.retrieve("m")):
            with pytest.raises(error, match=told):
                ask(before, listing)


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (Reply({"error": {"message": "too long", "code": "c"}}, 400), 400, "too long"),
        (Reply({"code": 12001, "message": "no credits"}, 400), 400, "no credits (AiToEarn code 12001)"),
        (Reply("out of\norder", 503, content_type="text/plain"), 503, "out of order"),
        (Reply("<html>", 502, content_type="text/html"), 502, "where JSON was expected"),
        (Reply("", 999), 502, "HTTP 999"),
        (Reply("[]"), 502, "where JSON with 'choices' was expected: []"),
        (Reply({"choices": [None]}), 502, "where JSON with 'choices' was expected"),
        (Reply({"success": False, "message": "no luck"}), 502, "no luck"),
        (Reply({"success": False, "message": f"not with {KEY}"}), 502, "not with **********"),
    ],
)
def test_other_failures_keep_their_status_and_words(
    server: ScriptedServer, before: relay.Relay, answer: Reply, status: int, told: str
) -> None:
    """Also where they are not in OpenAI's form."""
    server.answer(answer)
    got, error = error_of(send(before.base_url, CHAT, BODY, before.api_key))

    assert got == status
    assert told in error["message"]
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")


def test_what_tells_programs_to_wait_comes_through(server: ScriptedServer, before: relay.Relay) -> None:
    """And nothing that would let a web page read the answer, that is for a browser, or that no header can carry."""
    kept = {"Retry-After": "7", "X-Request-Id": "r-1", "X-RateLimit-Remaining": "0"}
    dropped = {
        "Access-Control-Allow-Origin": "*",
        "Set-Cookie": "a=b",
        "X-Should-Retry": "请".encode().decode("latin-1"),
    }
    page = "<html>slow</html>"
    for answer in ({"error": {"message": "slow down"}}, page):
        server.answer(Reply(answer, 429, {**kept, **dropped}))
        response, content = send(before.base_url, CHAT, BODY, before.api_key)
        assert {name: response.headers[name] for name in kept} == kept
        assert not [name for name in dropped if name in response.headers]
        assert "base URL" not in content.decode()  # The address is right then.
    server.answer(Reply({"code": 10003, "message": "again after 3 seconds", "requestId": "r-2"}))
    response, _ = send(before.base_url, CHAT, BODY, before.api_key)
    assert (response.headers["Retry-After"], response.headers["X-Request-Id"]) == ("3", "r-2")
    server.answer(Reply({"code": 12001, "message": "no", "requestId": "a\r\nb: c"}))
    assert "b" not in send(before.base_url, CHAT, BODY, before.api_key)[0].headers


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fail-stream-error", "the model stopped answering"),
        ("fail-stream-envelope", r"AI model call failed \(AiToEarn code 12301, request id .*\)"),
        ("fail-stream-cut", r"The connection to http://127\.0\.0\.1:\d+ failed: .*"),
    ],
)
def test_a_failure_in_a_stream_is_its_last_event(here: relay.Relay, name: str, told: str) -> None:
    """After what came before it."""
    body = {"model": name, "messages": MESSAGES, "stream": True}
    *events, last, empty = send(here.base_url, CHAT, body, here.api_key)[1].split(b"\n\n")

    assert len(events) > 3
    assert empty == b""
    assert set(json.loads(last.removeprefix(b"data: "))) == {"error"}
    with pytest.raises(openai.APIError, match=told):
        ask(here, stream(name))


def test_a_service_that_cannot_be_reached_is_told(server: ScriptedServer) -> None:
    """502, or 504 where the time of the settings was up."""
    with Server() as faulty:
        faulty.visit("api", lambda request: [Hang])
        for origin, more, status, told in (
            (faulty.origin("refusing"), {}, 502, f"The connection to {faulty.origin('refusing')} failed: "),
            (faulty.origin(), {"timeout": 0.2}, 504, "Timeout."),
        ):
            with relay.serve(settings=Settings(base_url=origin, api_key=KEY, **more)) as here:
                got, error = error_of(send(here.base_url, CHAT, BODY, here.api_key))
                listed, _ = error_of(send(here.base_url, "/v1/models", token=here.api_key))
            assert (got, listed) == (status, status)
            assert told in error["message"]


# --- streams


def test_a_stream_arrives_piece_by_piece() -> None:
    """Each event at once, while the service is silent after it."""
    with Server() as faulty:
        faulty.visit("api", lambda request: [head(content_type=SSE, connection="close"), CHUNKS[0], Hang])
        with (
            relay.serve(settings=Settings(base_url=faulty.origin(), api_key=KEY)) as here,
            openai.OpenAI(base_url=here.base_url, api_key=here.api_key, timeout=5) as client,
        ):
            chunks: Any = stream("m")(client)
            assert next(iter(chunks)).choices[0].delta.content
            chunks.close()


def test_blank_lines_may_come_first(server: ScriptedServer, before: relay.Relay) -> None:
    """Also in pieces of their own, and with a byte order mark, which the SDK takes for a part of the first chunk."""
    for text in (b"\n\n" + CHUNKS[0] + DONE, b"\xef\xbb\xbf" + CHUNKS[0] + DONE):
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (text[:2], text[2:]))
        headers = {"Transfer-Encoding": "chunked"}
        server.answer(Reply(parts + b"0\r\n\r\n", headers=headers, content_type=SSE))
        assert [chunk.choices[0].delta.content for chunk in ask(before, stream("m"))] == ["你好"]


def test_a_stream_may_be_announced_as_anything(server: ScriptedServer, before: relay.Relay) -> None:
    """And an answer too: both get their right type."""
    text = b"".join([*CHUNKS, DONE])
    for kind in ("text/plain", "application/json", None):
        server.answer(Reply(text, content_type=kind))
        assert len(ask(before, stream("m"))) == 3
        server.answer(Reply(COMPLETION.body, content_type=kind))
        assert ask(before, complete("m")).choices[0].message.content == "Hi"


def test_the_other_kind_of_answer_is_a_failure(server: ScriptedServer, before: relay.Relay) -> None:
    """A stream for an answer, an answer for a stream: programs take either for an empty answer."""
    server.answer(Reply(b"".join(CHUNKS), content_type=SSE))
    with pytest.raises(openai.InternalServerError, match=r"where JSON with \\?'choices\\?' was expected"):
        ask(before, complete("m"))
    server.answer(COMPLETION)
    with pytest.raises(openai.InternalServerError, match="where an event stream was expected"):
        ask(before, stream("m"))


# --- who may ask, and what goes on


def test_only_the_token_opens_the_relay(server: ScriptedServer, before: relay.Relay) -> None:
    """All but the list, and nothing of a refused request reaches the service."""
    server.answer(COMPLETION)
    for token in ("", "wrong", before.api_key[:-1], f"{before.api_key}x", KEY, "é"):
        headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")} if token else {}
        status, error = error_of(send(before.base_url, CHAT, BODY, **headers))
        assert (status, error["type"]) == (401, "invalid_request_error")
        told = "sends a key that is not the token of this relay" if token else "sends no key"
        assert told in error["message"]
    assert error_of(send(before.base_url, CHAT, BODY, Authorization=f"Basic {before.api_key}"))[0] == 401
    assert server.requests == []
    assert send(before.base_url, CHAT, BODY, before.api_key)[0].status == 200
    assert send(before.base_url, "/v1/models")[0].status == 401


@pytest.mark.parametrize(
    ("token", "told"),
    [(" \r\n", "printable ASCII"), ("tök", "printable ASCII"), (KEY, "must not be the key")],
)
def test_a_relay_that_cannot_be_is_refused(server: ScriptedServer, token: str, told: str) -> None:
    """It needs a token that is not blank; with the key as the token, programs would hold it. The port is given apart."""
    with pytest.raises(ValueError, match=told), relay.serve(settings=settings_of(server), token=token):
        pass
    for host in ("127.0.0.1:80", ""):
        with (
            pytest.raises(OSError, match=f"cannot listen on port 0 of {host}: Name or service not known"),
            relay.serve(settings=settings_of(server), host=host),
        ):
            pass


@pytest.mark.block_network(allowed_hosts=[r"127\.0\.0\.\d", "::1"])
@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.2"])
def test_this_machine_has_other_names(site: sandbox.Sandbox, host: str) -> None:
    """A token may have the line end of its file."""
    try:
        with relay.serve(settings=site.settings, host=host, token="t\r\n") as here:
            assert here.api_key == "t"
            assert ask(here, complete("glm-5.2")).choices
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


def test_only_known_headers_go_on_and_with_the_real_key(server: ScriptedServer, before: relay.Relay) -> None:
    """No cookies, nothing of OpenAI's, and not the token."""
    server.answer(COMPLETION)
    kept = {"accept-language": "zh-CN", "x-request-id": "r-1", "user-agent": "program/1"}
    dropped = {
        "Cookie": "a=b",
        "OpenAI-Organization": "org",
        "OpenAI-Project": "p",
        "X-Api-Key": "x",
        "X-Other": "1",
    }
    send(before.base_url, CHAT, BODY, before.api_key, **kept, **dropped)
    server.answer(Reply({"code": 0, "data": []}))
    send(before.base_url, "/v1/models", None, before.api_key, **kept, **dropped)
    question, listing = server.requests

    assert json.loads(question.body) == BODY
    assert (question.path, listing.path) == ("/api/ai/chat/completions", "/api/ai/models/chat")
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert {name: request.headers[name] for name in kept} == kept
        assert before.api_key not in str(request.headers)
    assert "x-api-key" not in question.headers
    assert listing.headers["x-api-key"] == KEY
    known = {
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "host",
        "authorization",
    }
    assert question.headers.keys() <= known | kept.keys()


def test_the_key_goes_to_no_other_origin(
    server: ScriptedServer, other_server: ScriptedServer, before: relay.Relay
) -> None:
    """A redirect takes the request there, but not the key; one of the list is not followed."""
    server.answer(Reply("", 307, {"Location": f"{other_server.origin}/elsewhere"}))
    other_server.answer(COMPLETION)

    assert send(before.base_url, CHAT, BODY, before.api_key)[0].status == 200
    assert send(before.base_url, "/v1/models", token=before.api_key)[0].status == 502
    assert len(other_server.requests) == 1
    assert KEY not in str(other_server.requests)


def test_a_body_of_50_mb_passes(server: ScriptedServer, before: relay.Relay) -> None:
    """The service takes no more."""
    server.answer(COMPLETION)
    text = b'{"model": "m", "messages": [], "x": "%b"}'
    body = text % (b"x" * ((50 << 20) - len(text) + 2))

    assert send(before.base_url, CHAT, body, before.api_key)[0].status == 200
    assert len(server.requests[0].body) == 50 << 20


# --- settings


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
@pytest.mark.parametrize("extra", ["relay", "sandbox"])
def test_without_its_extra_a_server_says_what_to_install(
    extra: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base install has the package but not its libraries."""
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"aitoearn_openai.{extra}")
    with pytest.raises(ImportError, match=rf"install `aitoearn-openai\[{extra}\]`"):
        importlib.import_module(f"aitoearn_openai.{extra}")


def test_without_a_key_there_is_no_relay() -> None:
    """It says what to do."""
    with pytest.raises(openai.OpenAIError, match="There is no AiToEarn key"), relay.serve():
        pass


def test_the_settings_of_the_environment_are_the_default(
    site: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a relay does not show its token."""
    monkeypatch.setenv("AITOEARN_SITE", "sandbox")
    monkeypatch.setenv("AITOEARN_BASE_URL", site.base_url)
    with relay.serve() as here:
        assert ask(here, complete("glm-5.2")).choices
        assert here.api_key not in repr(here)


@pytest.mark.skipif(not AIOHTTP, reason="this SDK has no aiohttp client")
def test_the_other_backend_is_used(here: relay.Relay, site: sandbox.Sandbox) -> None:
    """With the same answers and failures."""
    settings = Settings(site="sandbox", base_url=site.base_url, http_backend="aiohttp")
    with relay.serve(settings=settings) as other:
        assert ask(other, stream("glm-5.2"))[0].choices
        with pytest.raises(openai.APIStatusError, match="Insufficient"):
            ask(other, complete("fail-12001"))
        with pytest.raises(openai.APIError, match="failed: "):
            ask(other, stream("fail-stream-cut"))


def test_the_relay_runs_in_a_server_of_ones_own(site: sandbox.Sandbox) -> None:
    """As an application, under any name."""
    family = family_of(openai.DefaultAsyncHttpxClient)
    app: Any = relay.app(site.settings, "t")
    arguments: Any = {"base_url": "http://relay.local", "api_key": "t"}

    async def chat() -> Any:
        http_client = family.AsyncClient(transport=family.ASGITransport(app=app))
        async with (
            app.lifespan_context(app),
            openai.AsyncOpenAI(**arguments, http_client=http_client) as client,
        ):
            return await complete("glm-5.2")(client)

    assert asyncio.run(chat()).choices


def test_a_setting_with_which_nothing_can_be_asked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """To each program that asks."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    with relay.serve(settings=Settings(base_url="http://service.invalid", api_key=KEY)) as here:
        for path, body in (("/v1/models", None), (CHAT, BODY)):
            status, error = error_of(send(here.base_url, path, body, here.api_key))
            assert status == 500
            assert "ALL_PROXY cannot be used" in error["message"]


def test_the_service_is_asked_through_the_proxy_of_the_environment(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the clients do it."""
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    server.answer(COMPLETION)
    with relay.serve(settings=Settings(base_url="http://service.invalid", api_key=KEY)) as here:
        send(here.base_url, CHAT, BODY, here.api_key)

    assert server.requests[0].path == "http://service.invalid/api/ai/chat/completions"


# --- who goes away


def test_who_goes_away_ends_the_call_to_the_service() -> None:
    """Before the first byte and in a stream."""
    with Server() as faulty:
        visit = faulty.visit("api", lambda request: [])
        with relay.serve(settings=Settings(base_url=faulty.origin(), api_key=KEY)) as here:
            answers: list[list[Step]] = [
                [Hang],
                [head(content_type=SSE, connection="close"), CHUNKS[0], Hang],
                [head(content_type=SSE, connection="close"), Repeat(chunk("x"), 0.01)],
            ]
            for steps in answers:
                visit.answer = lambda request, steps=steps: steps  # type: ignore[misc]
                asked = len(visit.requests)
                address = urlsplit(here.base_url)
                connection = socket.create_connection((str(address.hostname), address.port or 0))
                body = json.dumps({**BODY, "stream": True}).encode()
                request = (
                    f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {here.api_key}\r\n"
                )
                connection.sendall(f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                if len(steps) > 1:
                    assert connection.recv(100)
                until = time.monotonic() + 10
                while len(visit.requests) == asked and time.monotonic() < until:
                    time.sleep(0.01)
                assert visit.open_connections() == 1
                connection.close()
                assert faulty.settled_connections(visit, 0, 5) == 0


def test_a_relay_ends_though_a_client_does_not_read() -> None:
    """Its connection is closed."""
    with Server() as faulty:
        faulty.visit("api", lambda request: [head(content_type=SSE), Repeat(chunk("x" * 100_000), 0.0)])
        with relay.serve(settings=Settings(base_url=faulty.origin(), api_key=KEY)) as here:
            connection = http.client.HTTPConnection(str(urlsplit(here.base_url).netloc), timeout=30)
            headers = {"Authorization": f"Bearer {here.api_key}"}
            connection.request("POST", CHAT, json.dumps({**BODY, "stream": True}), headers)
            response = connection.getresponse()
            assert response.read(1)
    with contextlib.closing(response), pytest.raises((ConnectionError, http.client.IncompleteRead)):
        response.read()
    connection.close()


def test_cookies_of_the_service_are_not_kept(server: ScriptedServer, before: relay.Relay) -> None:
    """They would join the programs into one session, also where a redirect is followed."""
    server.answer(
        Reply(COMPLETION.body, headers={"Set-Cookie": "sess=1; Path=/"}),
        Reply("", 307, {"Location": "/elsewhere"}),
        COMPLETION,
    )
    for _ in range(2):
        assert send(before.base_url, CHAT, BODY, before.api_key)[0].status == 200

    assert len(server.requests) == 3
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize("key", ["e", "code", "message"])
def test_a_key_that_is_an_everyday_word_hides_no_failure(server: ScriptedServer, key: str) -> None:
    """Servers of one's own have such keys."""
    server.answer(Reply({"data": {}, "code": 12001, "message": "Insufficient credits", "requestId": "r-1"}))
    with relay.serve(settings=Settings(base_url=server.origin, api_key=key)) as here:
        status, error = error_of(send(here.base_url, CHAT, BODY, here.api_key))

    assert (status, error["code"]) == (402, "12001")
    assert error["message"] == "Insufficient credits (AiToEarn code 12001, request id r-1)"


def test_an_error_in_chinese_is_readable_as_it_is(server: ScriptedServer, before: relay.Relay) -> None:
    """By programs that show what came; half a character is no failure of the relay."""
    words = "积分不足\u2028\x85\ud800"
    server.answer(Reply({"code": 12001, "message": words}))
    _, content = send(before.base_url, CHAT, BODY, before.api_key)

    assert "积分不足".encode() in content
    assert len(content.decode().splitlines()) == 1
    assert words in json.loads(content)["error"]["message"]


def test_a_page_after_a_redirect_is_told_with_its_own_address(
    server: ScriptedServer, other_server: ScriptedServer, before: relay.Relay
) -> None:
    """Not with that of the service."""
    server.answer(Reply("", 307, {"Location": f"{other_server.origin}/elsewhere"}))
    other_server.answer(Reply("<html>", content_type="text/html"))
    _, content = send(before.base_url, CHAT, BODY, before.api_key)

    assert f"{other_server.origin}/elsewhere answered" in content.decode()
