"""Web pages and the relay: in a real Chromium, and by the headers that browsers send and look at."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aitoearn_openai import relay
from aitoearn_openai.relay import Relay
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Reply, Request, ScriptedServer
from relays import CHAT, send

PAGE = "http://localhost:3000"
BODY = {"model": "glm-5.2", "messages": MESSAGES}
WANTED: Any = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-any",
    "Access-Control-Request-Private-Network": "true",
}
TOKEN = "a-token-of-the-test"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCRIPT = """
<script type="module">
const ask = async (model) => {
  const headers = {"authorization": "Bearer TOKEN", "content-type": "application/json", "x-stainless-lang": "js"};
  const body = JSON.stringify({model, stream: true, messages: [{role: "user", content: "Hi"}]});
  const answer = await fetch("ADDRESS/chat/completions", {method: "POST", headers, body});
  let text = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) text += piece;
  return `${answer.status} ${answer.headers.get("x-request-id") !== null} ${text}`;
};
const told = await Promise.allSettled([ask("glm-5.2"), ask("fail-12001")]);
await fetch("/told", {method: "POST", body: JSON.stringify(told.map((each) => each.value ?? String(each.reason)))});
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_page_streams_a_chat_only_where_it_is_allowed(
    site: Sandbox, server: ScriptedServer, tmp_path: Path, is_allowed: bool
) -> None:
    """In a browser: it reads the chunks, the request id, and why a request failed; otherwise nothing."""
    origins = [f"{server.origin}/app"] if is_allowed else []
    told: list[Request] = []
    with relay.serve(settings=site.settings, token=TOKEN, allow_origins=origins) as here:
        script = SCRIPT.replace("ADDRESS", here.base_url).replace("TOKEN", TOKEN)
        server.answer(Reply(script, content_type="text/html"))
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(
            [str(CHROMIUM), *options, server.origin], stdout=quiet, stderr=quiet
        ) as browser:
            until = time.monotonic() + 60
            while not told and time.monotonic() < until:
                told = [request for request in server.requests if request.path == "/told"]
                time.sleep(0.05)
            browser.kill()
    answer, failure = json.loads(told[0].body)
    if not is_allowed:
        assert answer == failure == "TypeError: Failed to fetch"
        return
    assert answer.startswith("200 true data: {")
    assert answer.rstrip().endswith("data: [DONE]")
    assert failure.startswith('402 true {"error"')


@pytest.fixture(scope="module")
def here(site: Sandbox) -> Iterator[Relay]:
    """A relay that one page may use."""
    with relay.serve(settings=site.settings, token=TOKEN, allow_origins=[f"{PAGE}/", "null"]) as here:
        yield here


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "HTTPS://EVIL.example"}, 403),
        ({"Origin": "http://localhost:3001"}, 403),
        ({"Origin": "https://[::bad"}, 403),
        ({"Origin": "http://localhost:1234", "Host": "localhost:1234"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": "app://obsidian.md"}, 200),
        ({"Origin": "file://"}, 200),
        ({"Origin": PAGE}, 200),
        ({"Origin": "null"}, 200),
    ],
)
def test_pages_elsewhere_are_refused_and_applications_are_not(here: Relay, headers: Any, status: int) -> None:
    """Though they have the token; only an answer to a page that is allowed invites a browser to show it."""
    answer, origin = send(here, CHAT, BODY, **headers), headers.get("Origin")
    cors = [answer.headers.get(f"Access-Control-{name}") for name in ("Allow-Origin", "Expose-Headers")]

    assert answer.status_code == status
    assert (f"`--allow-origin {origin}`" in answer.text) == (status == 403)
    shown = [origin, "*", "Origin"] if origin in (PAGE, "null") else [None] * 3
    assert [*cors, answer.headers.get("Vary")] == shown


def test_only_a_page_that_is_allowed_may_ask_whether_it_may(here: Relay) -> None:
    """With the headers that it wants to send, also from the network into this machine; it can read why it fails."""
    answer = send(here, CHAT, method="OPTIONS", token="", Origin=PAGE, **WANTED)
    allowed = answer.headers
    assert (answer.status_code, allowed["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert allowed["Access-Control-Allow-Headers"] == WANTED["Access-Control-Request-Headers"]
    assert allowed["Access-Control-Allow-Private-Network"] == "true"
    assert "POST" in allowed["Access-Control-Allow-Methods"]
    assert "Origin" in allowed["Vary"]
    failed = send(here, CHAT, BODY, token="wrong", Origin=PAGE)
    assert (failed.status_code, failed.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    for origin in ("http://localhost:3001", "app://obsidian.md"):
        refused = send(here, CHAT, method="OPTIONS", token="", Origin=origin, **WANTED)
        assert (refused.status_code, f"`--allow-origin {origin}`" in refused.text) == (403, True)
        assert "Access-Control-Allow-Origin" not in refused.headers


GIVEN = {
    "HTTP://LocalHost:3000/app?x#y": "http://localhost:3000",
    "https://app.example:443/": "https://app.example",
    " http://[::1]:3000 ": "http://[::1]:3000",
    "https://例子.cn": "https://xn--fsqu00a.cn",
    "app://obsidian.md": "app://obsidian.md",
}


def test_a_page_may_be_given_by_its_address(site: Sandbox) -> None:
    """As it stands in the browser; browsers send its origin in one form."""
    with relay.serve(settings=site.settings, token=TOKEN, allow_origins=GIVEN) as here:
        for origin in GIVEN.values():
            assert send(here, "/models", Origin=origin).headers["Access-Control-Allow-Origin"] == origin


def test_what_is_not_the_address_of_a_page_is_called_so(site: Sandbox) -> None:
    """All pages together cannot be allowed."""
    for given in ("*", "", "localhost:3000", "http://", "http://*.example", "http://a:b", "http://[x"):
        with pytest.raises(ValueError, match="is not the address of a page, such as http://localhost:3000"):
            relay.app(site.settings, TOKEN, allow_origins=[given])
