"""Libraries that stand between a client and its server, and other places to run in; `nox -s environments` has them all."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import openai
import pytest

from aitoearn_openai import AsyncOpenAI, OpenAI, batch
from aitoearn_openai._sdk.exceptions import family_of
from aitoearn_openai.sandbox import Sandbox
from conftest import MESSAGES, Reply, ScriptedServer, complete

pytestmark = pytest.mark.slow

URL = "https://aitoearn.cn/api/ai/chat/completions"
MESSAGE = {"role": "assistant", "content": "Hi"}
ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]}
MODELS = {"code": 0, "data": [{"name": "glm-5.2"}]}
FAILURE = {"code": 12001, "message": "Insufficient credits", "data": {}}

family = family_of(openai.DefaultHttpxClient).__name__
needs_httpx = pytest.mark.skipif(family != "httpx", reason="the SDK is on httpx2")


@needs_httpx
@pytest.mark.parametrize("package", ["respx", "pytest_httpx"])
def test_a_mock_of_httpx_answers_for_the_service(package: str, request: pytest.FixtureRequest) -> None:
    """It replaces the transport; a failure that comes with HTTP 200 is an error from there too."""
    pytest.importorskip(package)
    mock: Any = request.getfixturevalue(f"{package.removeprefix('pytest_')}_mock")
    client = OpenAI(api_key="k", max_retries=0)
    for body in (ANSWER, FAILURE):
        mock.post(URL).respond(json=body) if package == "respx" else mock.add_response(url=URL, json=body)
        if body is ANSWER:
            assert complete("glm-5.2")(client).choices[0].message.content == "Hi"
    with pytest.raises(openai.APIStatusError) as raised:
        complete("glm-5.2")(client)
    assert raised.value.status_code == 402


@needs_httpx
@pytest.mark.parametrize("fails", [False, True])
def test_hishel_answers_from_its_cache(fails: bool, server: ScriptedServer, tmp_path: Path) -> None:
    """As an `http_client` of one's own, whose transport it is; a failure is an error from there too."""
    hishel: Any = pytest.importorskip("hishel.httpx")
    server.answer(Reply(FAILURE if fails else MODELS, headers={"Cache-Control": "max-age=60"}))
    storage = sys.modules["hishel"].SqliteStorage(database_path=tmp_path / "cache.db")
    pool = hishel.CacheClient(storage=storage)
    with OpenAI(api_key="k", base_url=server.base_url, http_client=pool, max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(openai.APIStatusError, match="402") if fails else nullcontext():
                assert [model.id for model in client.models.list()] == ["glm-5.2"]

    assert len(server.requests) == 1


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


APPLICATION = """
from aitoearn_openai import OpenAI

client = OpenAI()

def app(environ, start_response):
    answer = client.chat.completions.create(model="glm-5.2", messages=[{"role": "user", "content": "x"}])
    start_response("200 OK", [])
    return [answer.choices[0].message.content.encode()]
"""


@pytest.mark.usefixtures("sandboxed")
def test_workers_of_gunicorn_use_a_client_that_was_made_before_the_fork(tmp_path: Path) -> None:
    """As with `--preload`, where the application is imported once."""
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", "127.0.0.1:0", "app:app"]
    ask = build_opener(ProxyHandler({})).open
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, encoding="utf-8") as server:
        try:
            listening = next(line for line in server.stderr or () if "Listening at: " in line)
            url = listening.partition("Listening at: ")[2].split()[0]
            answers = [ask(url, timeout=60).read() for _ in range(10)]
        finally:
            server.terminate()

    assert all(b"no model read your message" in answer for answer in answers)


@pytest.mark.usefixtures("sandboxed")
def test_run_works_in_a_bundle_of_pyinstaller(tmp_path: Path) -> None:
    """Which holds a Python, but none that could be started."""
    pytest.importorskip("PyInstaller")
    (tmp_path / "main.py").write_text("from aitoearn_openai.__main__ import main\nmain()\n")
    build = [sys.executable, "-m", "PyInstaller", "--onedir", "--name", "bundle", "--log-level", "ERROR"]
    subprocess.run([*build, "--collect-all", "aitoearn_openai", "main.py"], cwd=tmp_path, check=True)
    program = "import os, sys; print(sys.argv[1:], os.environ['OPENAI_BASE_URL'])"
    done = subprocess.run(
        [tmp_path / "dist" / "bundle" / "bundle", "run", "--", sys.executable, "-c", program, "an argument"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("['an argument'] http://127.0.0.1:")
