"""The relay, asked by the plain SDK and by bare HTTP over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from aitoearn_openai import Settings, relay
from aitoearn_openai._sdk.exceptions import family_of
from aitoearn_openai._sites import SITES
from aitoearn_openai.relay import Relay
from aitoearn_openai.sandbox import Sandbox
from conftest import Reply, ScriptedServer, complete, draw, list_models, stream
from faults.runner import KEY
from faults.server import Hang, Repeat, Server, chunked, head
from faults.table import CHUNKS, COMPLETION, DONE, SSE, chunk
from relays import BACKENDS, BODY, CHAT, ask, error_of, relay_to, send

ANSWER = Reply(COMPLETION)


@pytest.fixture(scope="module")
def here(site: Sandbox) -> Iterator[Relay]:
    """A relay in front of the sandbox."""
    with relay.serve(settings=site.settings) as here:
        yield here


@pytest.fixture
def before(server: ScriptedServer) -> Iterator[Relay]:
    """A relay in front of the scripted server."""
    with relay_to(server) as here:
        yield here


def test_the_models_have_the_form_of_openai(here: Relay) -> None:
    """Their names and vendors; one is found by its name or its label."""

    def retrieve(name: str) -> Any:
        return ask(here, lambda client: client.models.retrieve(name))

    models = ask(here, list_models)
    assert len(models.data) == 11
    assert {model.object for model in models} == {"model"}
    assert retrieve("GLM 5.2").to_dict() == models.data[0].to_dict() | {"id": "glm-5.2", "owned_by": "zhipu"}
    with pytest.raises(openai.NotFoundError, match=r"no model 'glm-5'\. The closest .* glm-5\.2") as failed:
        retrieve("glm-5")
    assert failed.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="no model 'some/body'"):
        retrieve("some/body")


@pytest.mark.parametrize(
    "more",
    [
        {"model": "deepseek-v4", "n": 3},
        {"tools": [{"type": "function", "function": {"name": "now"}}], "tool_choice": "required"},
        {"x": {"stream": True}},
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_answers_are_the_same_behind_a_relay(here: Relay, site: Sandbox, more: Any, streamed: bool) -> None:
    """Byte by byte, whole and streamed, with the request id of the caller."""
    body = {**BODY, "model": "glm-5.2", **more, "stream": streamed}
    through = send(here, CHAT, body, X_Request_Id="r-1")
    direct = send(site.base_url, CHAT, body, token="sandbox", X_Request_Id="r-1")

    assert (through.status_code, through.content) == (200, direct.content)
    for name in ("X-Request-Id", "Content-Type"):
        assert through.headers[name] == direct.headers[name]


def test_images_are_made_and_edited(here: Relay) -> None:
    """As many as were asked for, each a PNG; also from a form with a file."""
    wanted: Any = {"model": "gpt-image-2", "prompt": "a cat", "n": 2}
    drawn = ask(here, lambda client: client.images.generate(**wanted))
    edited = ask(here, lambda client: client.images.edit(**wanted, image=("a.png", b"PNG", "image/png")))
    assert [each.b64_json[:11] for each in drawn.data + edited.data] == ["iVBORw0KGgo"] * 4


def test_the_paths_are_found_with_and_without_v1(here: Relay) -> None:
    """As programs put an address together in many ways."""
    root = here.base_url.removesuffix("/v1")
    for prefix in ("", "/v1", "/v1/v1", "/", "/v1/", "//v1"):
        for path, sent in (("models/", None), ("chat/completions", {**BODY, "model": "glm-5.2"})):
            assert send(root, f"{prefix}/{path}", sent, token=here.api_key).status_code == 200


def test_what_the_service_lacks_is_a_404_that_says_so(here: Relay) -> None:
    """And what there is."""
    for method, path in (("POST", "/responses"), ("GET", CHAT), ("GET", "/")):
        status, error = error_of(send(here, path, method=method))
        assert (status, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
        told = f"AiToEarn has no {method} {path}: set the program to use POST /chat/completions, /images"
        assert error["message"].startswith(told)


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("401", 401, "Unauthorized (AiToEarn code 401, request id "),
        ("12001", 402, "Insufficient credits (AiToEarn code 12001, request id "),
        ("10003", 429, "Too many requests, please try again after 1 seconds (AiToEarn code 10003, "),
        (None, 502, "Check the base URL: AiToEarn's ends in /api/ai."),
    ],
)
def test_a_failure_in_http_200_gets_its_status(here: Relay, code: str | None, status: int, told: str) -> None:
    """With the service's words and code, and what else programs look at, whatever was asked."""
    for ask_for in (complete, stream, draw):
        with pytest.raises(openai.APIStatusError) as failed:
            ask(here, ask_for(f"fail-{code or 'html'}"))
        error, headers = failed.value, failed.value.response.headers

        assert (error.status_code, error.code) == (status, code)
        assert told in error.message
        assert code is None or f"request id {headers['x-request-id']})" in error.message
        assert headers.get("retry-after") == ("1" if status == 429 else None)
        assert "The key was sent" not in error.message


def test_a_key_of_the_other_site_is_what_to_look_at_first(
    server: ScriptedServer, before: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where AiToEarn itself refuses it."""
    monkeypatch.setitem(SITES, "cn", server.origin)
    server.answer(Reply({"error": {"message": "No such key."}}, 401))
    told = rf"No such key\. The key was sent to {server.origin}"
    with pytest.raises(openai.AuthenticationError, match=told):
        ask(before, complete("m"))


def test_what_is_not_a_model_list_is_called_so(server: ScriptedServer, before: Relay) -> None:
    """Also where one model is asked for."""
    for content, path in (({"code": 0, "data": {}}, "/models"), ("[1]", "/models/m")):
        server.answer(Reply(content))
        status, error = error_of(send(before, path))
        assert (status, "where a model list was expected" in error["message"]) == (502, True)


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (Reply("out of\norder", 503, content_type="text/plain"), 503, "out of order"),
        (Reply("<html>", 502, content_type="text/html"), 502, "with 'text/html' where JSON was expected."),
        (Reply("", 999), 502, "HTTP 999"),
        (Reply("[]"), 502, "where JSON with 'choices' was expected: []. Check the base URL"),
        (Reply(b"".join(CHUNKS), content_type=SSE), 502, "where JSON with 'choices' was expected: data: {"),
        (Reply(json.dumps({"code": 12001, "message": f"not {KEY}"}).encode("utf-16")), 402, "not **********"),
        (Reply({"code": 12001, "message": "积分\u2028\x85\ud800"}), 402, "积分\u2028\x85\ud800 ("),
    ],
)
def test_other_failures_keep_their_status_and_words(
    server: ScriptedServer, before: Relay, answer: Reply, status: int, told: str
) -> None:
    """Also where they are not in OpenAI's form. In Chinese they can be read as they are sent, and are one line."""
    server.answer(answer)
    response = send(before, CHAT, BODY)
    got, error = error_of(response)
    kind = "server_error" if status >= 500 else "invalid_request_error"

    assert (got, error["type"]) == (status, kind)
    assert told in error["message"]
    assert len(response.content.decode().splitlines()) == 1
    assert told[:2].encode() in response.content


def test_what_tells_programs_to_wait_comes_through(server: ScriptedServer, before: Relay) -> None:
    """And nothing that would let a web page read the answer, that is for a browser, or that no header can carry."""
    kept = {"Retry-After": "7", "X-Request-Id": "r-1", "X-RateLimit-Remaining": "0"}
    odd = {"Access-Control-Allow-Origin": "*", "Set-Cookie": "a=b", "X-Should-Retry": "\xe8"}
    for answer in ({"error": {"message": "slow down"}}, "<html>slow</html>"):
        server.answer(Reply(answer, 429, {**kept, **odd}))
        response = send(before, CHAT, BODY)
        assert {name: response.headers[name] for name in kept} == kept
        assert not [name for name in odd if name in response.headers]
        assert "base URL" not in response.text  # The address is right then.
    for request_id, passes in (("r-2", "r-2"), ("a\r\nb: c", None), ("x" * 2000, None)):
        server.answer(Reply({"code": 10003, "message": "again after 3 seconds", "requestId": request_id}))
        headers = send(before, CHAT, BODY).headers
        assert (headers["Retry-After"], headers.get("X-Request-Id"), headers.get("b")) == ("3", passes, None)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fail-stream-error", "the model stopped answering"),
        ("fail-stream-envelope", r"AI model call failed \(AiToEarn code 12301, request id .*\)"),
        ("fail-stream-cut", r"The connection to http://127\.0\.0\.1:\d+ failed: .*"),
    ],
)
def test_a_failure_in_a_stream_is_its_last_event(site: Sandbox, backend: Any, name: str, told: str) -> None:
    """After what came before it."""
    settings = Settings(site="sandbox", base_url=site.base_url, http_backend=backend)
    with relay.serve(settings=settings) as here:
        content = send(here, CHAT, {**BODY, "model": name, "stream": True}).content
        *events, last, empty = content.split(b"\n\n")
        assert len(events) > 3
        assert empty == b""
        assert set(json.loads(last.removeprefix(b"data: "))) == {"error"}
        with pytest.raises(openai.APIError, match=told):
            ask(here, stream(name))


def test_a_service_that_cannot_be_reached_is_told() -> None:
    """502, or 504 where the time of the settings was up."""
    with Server() as faulty:
        faulty.visit("api", lambda request: [Hang])
        for origin, more, status, told in (
            (faulty.origin("refusing"), {}, 502, f"The connection to {faulty.origin('refusing')} failed: "),
            (faulty.origin(), {"timeout": 0.2}, 504, "Timeout."),
        ):
            with relay.serve(settings=Settings(base_url=origin, api_key=KEY, **more)) as here:
                got, error = error_of(send(here, CHAT, BODY))
                listed, _ = error_of(send(here, "/models"))
            assert (got, listed) == (status, status)
            assert told in error["message"]


def test_a_stream_may_begin_blank_and_be_called_json(server: ScriptedServer, before: Relay) -> None:
    """JSON does not stand in the place of a stream, behind a byte order mark either."""
    headers = {"Transfer-Encoding": "chunked"}
    marked = Reply(b"\xef\xbb\xbf" + ANSWER.encoded())
    server.answer(Reply(chunked(b"\n\n", *CHUNKS, DONE), headers=headers), marked)
    assert len(ask(before, stream("m"))) == 3
    with pytest.raises(openai.InternalServerError, match="where an event stream was expected"):
        ask(before, stream("m"))


def test_only_the_token_opens_the_relay(server: ScriptedServer, before: Relay) -> None:
    """The model list too, and nothing of a refused request reaches the service."""
    server.answer(ANSWER)
    for token in ("", "wrong", before.api_key[:-1], f"{before.api_key}x", KEY, "\xe9"):
        told = "sends a key that is not the token of this relay" if token else "sends no key"
        for path, body in ((CHAT, BODY), ("/models", None)):
            headers: Any = {"Authorization": f"Bearer {token}".encode("latin-1")} if token else {}
            status, error = error_of(send(before, path, body, token="", **headers))
            assert (status, error["type"]) == (401, "invalid_request_error")
            assert told in error["message"]
    assert send(before, CHAT, BODY, token="", Authorization=f"Basic {before.api_key}").status_code == 401
    assert server.requests == []
    assert send(before, CHAT, BODY).status_code == 200


def test_a_relay_that_cannot_be_is_refused() -> None:
    """It needs a token that is not blank; with the key as the token, programs would hold it."""
    settings = Settings(base_url="http://127.0.0.1:1", api_key=KEY)
    refused = {" \r\n": "printable ASCII", "tök": "printable ASCII", KEY: "must not be the key"}
    for token, told in refused.items():
        with pytest.raises(ValueError, match=told), relay.serve(settings=settings, token=token):
            pass


@pytest.mark.block_network(allowed_hosts=[r"127\.0\.0\.\d", "::1"])
@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.2"])
def test_this_machine_has_other_names(site: Sandbox, host: str) -> None:
    """A token may have the line end of its file."""
    try:
        with relay.serve(settings=site.settings, host=host, token="t\r\n") as here:
            assert here.api_key == "t"
            assert ask(here, complete("glm-5.2")).choices
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


def test_only_known_headers_go_on_and_with_the_real_key(server: ScriptedServer, before: Relay) -> None:
    """No cookies, nothing of OpenAI's, and not the token; a body may have the 50 MB that the service takes."""
    kept = {"accept-language": "zh-CN", "x-request-id": "r-1", "user-agent": "program/1"}
    dropped = {"Cookie": "a=b", "OpenAI-Organization": "org", "X-Api-Key": "x", "X-Other": "1"}
    body = b'{"model": "m", "x": "%b"}'
    body %= b"x" * ((50 << 20) - len(body) + 2)
    server.answer(ANSWER)
    assert send(before, CHAT, body, **kept, **dropped).status_code == 200
    server.answer(Reply({"code": 0, "data": []}))
    send(before, "/models", **kept, **dropped)
    question, listing = server.requests

    assert question.body == body
    assert (question.path, listing.path) == ("/api/ai/chat/completions", "/api/ai/models/chat")
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert {name: request.headers[name] for name in kept} == kept
        assert before.api_key not in str(request.headers)
    assert listing.headers["x-api-key"] == KEY
    known = {"accept", "accept-encoding", "connection", "content-type", "content-length", "host"}
    assert question.headers.keys() <= known | {"authorization"} | kept.keys()


def test_a_redirect_takes_the_request_along_but_no_key_and_no_cookie(
    server: ScriptedServer, other_server: ScriptedServer, before: Relay
) -> None:
    """One of the list is not followed. Cookies would join the programs into one session."""
    headers = {"Location": f"{other_server.origin}/elsewhere", "Set-Cookie": "sess=1; Path=/"}
    server.answer(Reply("", 307, headers))
    other_server.answer(Reply("<html>", content_type="text/html"))

    assert f"{other_server.origin}/elsewhere answered" in send(before, CHAT, BODY).text
    assert send(before, "/models").status_code == 502
    (elsewhere,) = other_server.requests
    assert KEY not in str(elsewhere)
    assert not any("cookie" in request.headers for request in (*server.requests, elsewhere))


@pytest.mark.parametrize("key", ["e", "code", "message"])
def test_a_key_that_is_an_everyday_word_hides_no_failure(server: ScriptedServer, key: str) -> None:
    """Servers of one's own have such keys."""
    server.answer(Reply({"data": {}, "code": 12001, "message": "Insufficient credits", "requestId": "r-1"}))
    with relay_to(server, api_key=key) as here:
        error = error_of(send(here, CHAT, BODY))[1]
    assert error["code"] == "12001"
    assert error["message"] == "Insufficient credits (AiToEarn code 12001, request id r-1)"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
@pytest.mark.parametrize("extra", ["relay", "sandbox"])
def test_without_an_extra_a_server_names_it(
    extra: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base install has the package but not its libraries."""
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"aitoearn_openai.{extra}")
    with pytest.raises(ImportError, match=rf"install `aitoearn-openai\[{extra}\]`"):
        importlib.import_module(f"aitoearn_openai.{extra}")


def test_by_default_the_environment_decides(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is one of them, as for the clients. A relay does not show its token; without a key there is none."""
    with pytest.raises(openai.OpenAIError, match="There is no AiToEarn key"), relay.serve():
        pass
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    monkeypatch.setenv("AITOEARN_BASE_URL", "http://service.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.answer(ANSWER)
    with relay.serve() as here:
        assert ask(here, complete("m")).choices
        assert here.api_key not in repr(here)
    assert server.requests[0].path == "http://service.invalid/api/ai/chat/completions"
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    with pytest.raises(openai.OpenAIError, match=r"ALL_PROXY .*cannot be used"), relay.serve():
        pass


def test_the_relay_runs_in_a_server_of_ones_own(site: Sandbox) -> None:
    """As an application, under any name; a token may have the line end of its file there too."""
    family = family_of(openai.DefaultAsyncHttpxClient)
    app: Any = relay.app(site.settings, "t\n")
    pool = family.AsyncClient(transport=family.ASGITransport(app=app))
    client = openai.AsyncOpenAI(base_url="http://relay.local", api_key="t", http_client=pool)

    async def chat() -> Any:
        async with app.lifespan_context(app), client:
            return await complete("glm-5.2")(client)

    assert asyncio.run(chat()).choices


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_goes_away_ends_the_call_to_the_service(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before the first byte and in a stream, whose events come at once, while the service is silent after them."""
    caplog.set_level("INFO", "aitoearn_openai.relay")
    begun = head(content_type=SSE, connection="close")
    answers: Any = [Hang], [begun, CHUNKS[0], Hang], [begun, Repeat(chunk("x"), 0.01)]
    with Server() as faulty, relay_to(faulty, http_backend=backend) as here:
        visit = faulty.visit("api", lambda request: answers[len(visit.requests) - 1])
        arguments = {"base_url": here.base_url, "api_key": here.api_key, "timeout": 3, "max_retries": 0}
        with openai.OpenAI(**arguments) as client:
            for number in range(3):
                with contextlib.suppress(openai.APITimeoutError):
                    chunks: Any = stream("m")(client)
                    assert next(iter(chunks)).choices
                    chunks.close()
                    assert number > 0
                assert len(visit.requests) == number + 1
                assert faulty.settled_connections(visit, 0, 5) == 0
    assert [re.sub(r"\d+\.\d+ s", "", line) for line in caplog.messages] == 3 * [
        "POST /v1/chat/completions 499 : the program went away"
    ]


def test_a_relay_ends_though_a_client_does_not_read() -> None:
    """Its connection is closed."""
    with Server() as faulty, openai.DefaultHttpxClient(timeout=10) as client:
        faulty.visit("api", lambda request: [head(content_type=SSE), Repeat(chunk("x" * 100_000), 0.0)])
        with relay_to(faulty) as here:
            headers, body = {"Authorization": f"Bearer {here.api_key}"}, {**BODY, "stream": True}
            request = client.build_request("POST", here.base_url + CHAT, json=body, headers=headers)
            response = client.send(request, stream=True)
            pieces = response.iter_raw()
            assert next(pieces)
        family = family_of(openai.DefaultHttpxClient)
        with pytest.raises((family.RemoteProtocolError, family.ReadError)):  # And no timeout.
            list(pieces)
        response.close()
