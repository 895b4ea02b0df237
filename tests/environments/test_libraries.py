"""Libraries that stand between a client and its server, and other places to run in; `nox -s environments` has them all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

from aitoearn_openai import AsyncOpenAI, OpenAI, batch
from aitoearn_openai._sdk.exceptions import family_of
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Reply, ScriptedServer, complete

pytestmark = pytest.mark.slow

URL = "https://aitoearn.cn/api/ai/chat/completions"
ANSWER = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]
}
ANSWER_OF_LIST = {"code": 0, "data": [{"name": "glm-5.2"}]}
FAILURE = {"code": 12001, "message": "Insufficient credits", "data": {}}

needs_httpx = pytest.mark.skipif(
    family_of(openai.DefaultHttpxClient).__name__ != "httpx", reason="the SDK is on httpx2"
)


def check_both(answer_with: Callable[[Any], None]) -> None:
    """An answer arrives, and a failure that comes with HTTP 200 is an error."""
    client = OpenAI(api_key="k", max_retries=0)
    answer_with(ANSWER)
    assert complete("glm-5.2")(client).choices[0].message.content == "Hi"
    answer_with(FAILURE)
    with pytest.raises(openai.APIStatusError) as raised:
        complete("glm-5.2")(client)
    assert raised.value.status_code == 402


@needs_httpx
def test_respx_answers_in_the_place_of_the_service() -> None:
    """It replaces the transport."""
    respx: Any = pytest.importorskip("respx")
    with respx.mock as mock:
        check_both(lambda body: mock.post(URL).respond(json=body))


@needs_httpx
@pytest.mark.skipif(find_spec("pytest_httpx") is None, reason="pytest-httpx is not installed")
def test_pytest_httpx_answers_in_the_place_of_the_service(request: pytest.FixtureRequest) -> None:
    """It replaces the transport too."""
    mock: Any = request.getfixturevalue("httpx_mock")
    check_both(lambda body: mock.add_response(url=URL, json=body))


@needs_httpx
def test_hishel_answers_from_its_cache(server: ScriptedServer, tmp_path: Path) -> None:
    """As an `http_client` of one's own, whose transport it is; a failure is an error from there too."""
    hishel: Any = pytest.importorskip("hishel.httpx")
    kept = {"Cache-Control": "max-age=60"}
    for reply in (Reply(ANSWER_OF_LIST, headers=kept), Reply(FAILURE, headers=kept)):
        server.answer(reply)
        server.requests.clear()
        place = tmp_path / f"{len(reply.encoded())}.db"
        pool = hishel.CacheClient(storage=sys.modules["hishel"].SqliteStorage(database_path=place))
        with OpenAI(api_key="k", base_url=server.base_url, http_client=pool, max_retries=0) as client:
            seen = [ask_for_list(client) for _ in range(2)]
        assert seen[0] == seen[1] == (["glm-5.2"] if reply.body is ANSWER_OF_LIST else 402)
        assert len(server.requests) == 1


def ask_for_list(client: OpenAI) -> Any:
    try:
        return [model.id for model in client.models.list()]
    except openai.APIStatusError as error:
        return error.status_code


def test_an_async_client_runs_under_trio(site: Sandbox) -> None:
    """And `batch.run` says that it does not."""
    trio: Any = pytest.importorskip("trio")

    async def main() -> None:
        async with AsyncOpenAI.from_settings(site.settings) as client:
            assert (await complete("glm-5.2")(client)).choices
            request = batch.Request("a", {"model": "glm-5.2", "messages": MESSAGES})
            with pytest.raises(RuntimeError, match="no running event loop"):
                await anext(batch.run(client, [request]))

    trio.run(main)


def test_workers_of_gunicorn_use_a_client_that_was_made_before_the_fork(
    site: Sandbox, tmp_path: Path
) -> None:
    """As with `--preload`, where the application is imported once."""
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(
        textwrap.dedent(
            """
            from aitoearn_openai import OpenAI

            client = OpenAI()

            def app(environ, start_response):
                answer = client.chat.completions.create(model="glm-5.2", messages=[{"role": "user", "content": "x"}])
                start_response("200 OK", [])
                return [answer.choices[0].message.content.encode()]
            """
        )
    )
    ask = """
import subprocess, sys, time, urllib.request
server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:0", "app:app"], stderr=subprocess.PIPE, text=True)
for line in server.stderr:
    if "Listening at: " in line:
        url = line.split("Listening at: ")[1].split()[0]
        break
try:
    for _ in range(10):
        print(urllib.request.urlopen(url, timeout=60).read().decode())
finally:
    server.terminate()
    server.wait()
"""
    environment = {**os.environ, "AITOEARN_SITE": "sandbox", "AITOEARN_BASE_URL": site.base_url}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path,
        env={**environment, "AITOEARN_API_KEY": site.api_key, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("no model read your message") == 10, done.stderr


def test_run_works_in_a_bundle_of_pyinstaller(site: Sandbox, tmp_path: Path) -> None:
    """Which holds a Python, but none that could be started."""
    pytest.importorskip("PyInstaller")
    (tmp_path / "main.py").write_text("from aitoearn_openai.__main__ import main\nmain()\n")
    build = [sys.executable, "-m", "PyInstaller", "--onedir", "--name", "bundle", "--log-level", "ERROR"]
    subprocess.run([*build, "--collect-all", "aitoearn_openai", "main.py"], cwd=tmp_path, check=True)
    program = "import os, sys; print(sys.argv[1:], os.environ['OPENAI_BASE_URL'])"
    done = subprocess.run(
        [tmp_path / "dist" / "bundle" / "bundle", "run", "--", sys.executable, "-c", program, "an argument"],
        env={**os.environ, "AITOEARN_BASE_URL": site.base_url, "AITOEARN_API_KEY": site.api_key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("['an argument'] http://127.0.0.1:")
