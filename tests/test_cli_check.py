"""`check`: what a person sees when it works, and at each place where it does not."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from unittest.mock import Mock

import openai
import pytest
import trustme

from commands import KEY, run
from conftest import Reply, ScriptedServer, scripted_server

LIST = Reply({"data": [{"name": "draws", "outputModalities": ["image"]}, {"name": "glm-5.2"}], "code": 0})
INVALID = Reply({"data": {}, "code": 400, "message": "Bad request"})
"""What a body without messages gets."""
REFUSED = Reply({"data": {}, "code": 401, "message": "Unauthorized"})
BANNED = Reply({"code": 12003, "message": "Account is disabled", "data": {}})
COPY = "Copy the key once more, or create one: Settings, then API Key."
LOOK = "Look at the address, the network and proxies; if they are right, try again later."


@pytest.mark.usefixtures("sandboxed")
def test_all_is_well_with_the_sandbox(tmp_path: Path) -> None:
    """Each setting and where it is from, each step, and what to do next; AITOEARN_MODELS may be another program's."""
    (tmp_path / "my.env").write_text("AITOEARN_TIMEOUT=20\nAITOEARN_MODEL=\nAITOEARN_MODELS=m\n")
    file = str(tmp_path / "my.env")
    checked = run("check", AITOEARN_MODEL="GLM 5.2", AITOEARN_ENV_FILE=file, COLUMNS="200")
    assert (checked.returncode, checked.stderr) == (0, "")
    settings = {line.split()[0]: line.split()[1:] for line in checked.stdout.splitlines()[3:9]}
    assert settings["site"] == ["sandbox", "AITOEARN_SITE"]
    assert settings["base_url"][1] == "AITOEARN_BASE_URL"
    assert settings["api_key"] == ["********", "(7", "characters)", "the", "sandbox's", "own"]
    assert settings["model"] == ["GLM", "5.2", "AITOEARN_MODEL"]
    assert settings["timeout"] == ["20.0", file]
    assert settings["max_retries"] == ["-", "default"]
    steps = re.findall(r"^ok +(\w+)", checked.stdout, re.MULTILINE)
    assert steps == ["HTTP", "key", "chat", "models", "model"]
    assert "Next: aitoearn-openai chat Hello" in checked.stdout
    assert "??" not in checked.stdout  # As for plain http to another machine.


@pytest.mark.parametrize("is_in_file", [False, True])
def test_every_misspelt_variable_is_found(tmp_path: Path, is_in_file: bool) -> None:
    """In the environment and in the file of settings: by `check`, and by each command that misses what they were to say."""
    wrong = {"AITOEARN_APIKEY": KEY, "AITOERN_MODEL": "m", "AITOEARN_WORKSPACE": "of another program"}
    (tmp_path / "my.env").write_text("".join(f"{name}={value}\n" for name, value in wrong.items()))
    variables = {"AITOEARN_ENV_FILE": str(tmp_path / "my.env")} if is_in_file else wrong
    checked, asked = run("check", **variables), run("chat", "Hi", **variables)

    told = (
        "aitoearn-openai: AITOEARN_APIKEY is set, but is not a setting: rename it to AITOEARN_API_KEY. "
        "AITOERN_MODEL is set, but is not a setting: rename it to AITOEARN_MODEL."
    )
    assert (checked.returncode, checked.stderr, asked.returncode) == (2, f"{told}\n", 3)
    assert asked.stderr.startswith(told)
    assert KEY not in asked.stderr


def test_options_come_before_variables_and_those_before_a_file(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """A site that is given sets the address aside that a variable or a file has."""
    server.answer(LIST, LIST, INVALID)
    nonsense = {"AITOEARN_BASE_URL": "nonsense", "COLUMNS": "200"}
    addressed = run("check", "--base-url", server.origin, AITOEARN_API_KEY=KEY, **nonsense)
    sited = run("check", "--site", "sandbox", **nonsense).stdout  # A sandbox of yours may be there, or not.
    (tmp_path / "my.env").write_text("AITOEARN_BASE_URL=nonsense")
    environment = {"AITOEARN_SITE": "sandbox", "AITOEARN_ENV_FILE": str(tmp_path / "my.env")}
    varied = run("check", COLUMNS="200", **environment).stdout
    assert addressed.returncode == 0
    assert f"********{KEY[-4:]} ({len(KEY)} characters)" in addressed.stdout
    assert re.search(rf"site +cn +default\s+base_url +{server.base_url} +--base-url", addressed.stdout)
    for shown, site, address in ((sited, "--site", "--site"), (varied, "AITOEARN_SITE", "default")):
        assert re.search(rf"sandbox +{site}\s+base_url +http://127\.0\.0\.1:8378/api/ai +{address}", shown)


def test_chat_completions_are_looked_for_without_cost(scripted: ScriptedServer) -> None:
    """By a body that is refused, as it has neither a model nor messages. A server may want a key for the list too."""
    scripted.answer(REFUSED, LIST, Reply({"data": {}, "code": 12300, "message": "no such model"}))
    checked = run("check")
    assert (checked.returncode, scripted.requests[-1].body) == (0, b"{}")
    assert "ok    chat    completions are there" in checked.stdout
    assert "Next: aitoearn-openai chat -m glm-5.2 Hello" in checked.stdout
    assert [("x-api-key" in request.headers) for request in scripted.requests[:2]] == [False, True]


@pytest.mark.parametrize(
    ("replies", "environment", "code", "failed", "advice"),
    [
        ([Reply("no", 503)], {}, 5, "HTTP ", "Try again later, or another model."),
        ([BANNED], {}, 5, "HTTP ", "The site shows the state of the account."),
        ([LIST, BANNED], {}, 5, "key ", "The site shows the state of the account."),
        ([LIST, REFUSED], {}, 3, "key ", COPY),
        ([LIST], {"AITOEARN_API_KEY": ""}, 3, "key ", "There is no key for http://HERE: set AITOEARN_API_KEY.*"),
        ([LIST, LIST, REFUSED], {}, 3, "chat ", COPY),
        ([LIST, LIST, Reply({"code": 404, "message": "Cannot POST /x", "data": {}})], {}, 5, "chat ", LOOK),
        ([LIST, LIST, Reply("no", 405, content_type="text/plain")], {}, 5, "chat ", "Change the request as it says."),
        ([LIST, LIST, Reply({"code": 0, "message": "ok", "data": {}})], {}, 5, "chat ", LOOK),
        ([LIST, LIST, INVALID], {"AITOEARN_MODEL": "glm5"}, 2, "model   no model is named 'glm5'; the closest: glm-5.2\n", "Correct AITOEARN_MODEL."),
        ([], {"AITOEARN_BASE_URL": "http://127.0.0.1:1"}, 4, "HTTP .*connection to http://127.0.0.1:1 failed", LOOK),
        ([], {"AITOEARN_BASE_URL": "https://HERE"}, 4, "TLS .*(?i:wrong.version.number)", "Look at .* whether the server speaks https."),
    ],
)  # fmt: skip
def test_the_first_thing_that_is_wrong_is_told_with_what_to_do(
    scripted: ScriptedServer, replies: list[Reply], environment: dict[str, str], code: int, failed: str, advice: str
) -> None:  # fmt: skip
    """As the other commands do; only instead of "check looks for the cause" there is something better."""
    here = scripted.origin.removeprefix("http://")
    scripted.answer(*replies)
    checked = run("check", **{name: value.replace("HERE", here) for name, value in environment.items()})
    assert (checked.returncode, len(scripted.requests)) == (code, len(replies))
    assert re.search(f"\nFAIL  {failed}.*$", checked.stdout)
    assert re.fullmatch(f"aitoearn-openai: {advice.replace('HERE', here)}\n", checked.stderr)
    assert KEY not in checked.stdout + checked.stderr


@pytest.mark.parametrize(("variable", "scheme"), [("http_proxy", "http://"), ("ALL_PROXY", "")])
def test_a_proxy_and_plain_http_are_told(server: ScriptedServer, variable: str, scheme: str) -> None:
    server.answer(LIST, LIST, INVALID)
    proxy = {variable: f"{scheme}me:secret@{server.origin.removeprefix('http://')}"}
    checked = run("check", "--base-url", "http://nowhere.invalid", AITOEARN_API_KEY=KEY, **proxy)
    shown = server.origin.removeprefix("http://")
    assert checked.returncode == 0
    assert f"ok    proxy   {shown}, which the settings" in checked.stdout
    assert "??    TLS     not used: others on the way can read the key" in checked.stdout
    assert server.requests[0].path == "http://nowhere.invalid/api/ai/models/chat"


def test_a_certificate_is_told_with_its_end(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with scripted_server(context) as server:
        server.answer(LIST, LIST, INVALID)
        asked = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY}
        trusted = run("check", SSL_CERT_FILE=str(tmp_path / "ca.pem"), **asked)
        unknown = run("check", **asked)
    assert (trusted.returncode, unknown.returncode) == (0, 4)
    assert re.search(r"\nok    TLS +TLSv1\.[23], certificate until \w+ +\d+ .* GMT\n", trusted.stdout)
    assert re.search(r"\nFAIL  TLS .*CERTIFICATE_VERIFY_FAILED", unknown.stdout)


@pytest.mark.usefixtures("sandboxed")
def test_a_backend_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked, as every async client would fail."""
    monkeypatch.setattr(openai, "DefaultAioHttpClient", Mock(side_effect=RuntimeError("install the extra")))
    checked = run("check", AITOEARN_HTTP_BACKEND="aiohttp")
    assert (checked.returncode, "ok  " in checked.stdout) == (2, False)
    assert "AITOEARN_HTTP_BACKEND=aiohttp needs a package that is missing" in checked.stderr
