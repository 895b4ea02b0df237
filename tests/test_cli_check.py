"""`check`: what a person sees when it works, and at each place where it does not."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import openai
import pytest
import trustme

from aitoearn_openai import _sites
from commands import KEY, run
from conftest import Reply, Scripted, ScriptedServer

LIST = Reply({"data": [{"name": "glm-5.2"}], "code": 0})
INVALID = Reply({"data": {}, "code": 400, "message": "Bad request"})
"""What a body without messages gets."""
REFUSED = Reply({"data": {}, "code": 401, "message": "Unauthorized"})
BANNED = Reply({"code": 12003, "message": "Account is disabled", "data": {}})
PAGE = Reply("<html>", content_type="text/html")


def steps(shown: str) -> list[str]:
    """The verdicts, each with what it is about."""
    return [" ".join(line.split()[:2]) for line in shown.splitlines() if line.startswith(("ok ", "FAIL "))]


@pytest.mark.usefixtures("sandboxed")
def test_all_is_well_with_the_sandbox(tmp_path: Path) -> None:
    """Each setting and where it is from, each step, and what to do next."""
    (tmp_path / "my.env").write_text("AITOEARN_TIMEOUT=20\nAITOEARN_MODEL=\n")
    file = str(tmp_path / "my.env")
    checked = run("check", AITOEARN_MODEL="GLM 5.2", AITOEARN_ENV_FILE=file, COLUMNS="200")

    assert (checked.returncode, checked.stderr) == (0, "")
    settings = {line.split()[0]: line.split()[1:] for line in checked.stdout.splitlines()[3:9]}
    assert settings["site"] == ["sandbox", "AITOEARN_SITE"]
    assert settings["base_url"][1] == "AITOEARN_BASE_URL"
    assert settings["api_key"] == ["********", "(7", "characters)", "the", "site"]
    assert settings["model"] == ["GLM", "5.2", "AITOEARN_MODEL"]
    assert settings["timeout"] == ["20.0", file]
    assert settings["max_retries"] == ["-", "the", "SDK's"]
    assert steps(checked.stdout) == [
        "ok DNS",
        "ok TLS",
        "ok HTTP",
        "ok key",
        "ok chat",
        "ok models",
        "ok model",
    ]
    assert "Next: aitoearn-openai chat" in checked.stdout


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("wrong", "right"),
    [("AITOEARN_APIKEY", "AITOEARN_API_KEY"), ("AITOERN_MODEL", "AITOEARN_MODEL"), ("AITOEARN_RETRIES", "AITOEARN_MAX_RETRIES")],
)  # fmt: skip
@pytest.mark.parametrize("is_in_file", [False, True])
def test_a_misspelt_variable_is_found(tmp_path: Path, wrong: str, right: str, is_in_file: bool) -> None:
    """In the environment and in the file of settings, with the name that is meant."""
    (tmp_path / "my.env").write_text(f"{wrong}=1\n")
    variables = {"AITOEARN_ENV_FILE": str(tmp_path / "my.env")} if is_in_file else {wrong: "1"}
    checked = run("check", **variables)

    assert (checked.returncode, checked.stderr) == (2, f"aitoearn-openai: Rename {wrong} to {right}.\n")
    assert f"\nFAIL  setting {wrong} is not a setting; do you mean {right}?\n" in checked.stdout


def test_every_misspelt_variable_is_named_at_once() -> None:
    """By `check` all of them, and by each command that misses what they were to say."""
    wrong = {"AITOEARN_APIKEY": KEY, "AITOEARN_MODL": "m"}
    checked, asked = run("check", **wrong), run("chat", "Hi", **wrong)

    assert checked.stdout.count("FAIL") == 2
    assert "Rename AITOEARN_APIKEY to AITOEARN_API_KEY, AITOEARN_MODL to AITOEARN_MODEL.\n" in checked.stderr
    assert "AITOEARN_APIKEY is set, but is not a setting: rename it to AITOEARN_API_KEY." in asked.stderr
    assert (asked.returncode, KEY in asked.stderr) == (3, False)


@pytest.mark.usefixtures("sandboxed")
def test_a_variable_of_another_program_is_only_named() -> None:
    """One that is like no setting, or beside the setting that it is like."""
    checked = run("check", AITOEARN_WORKSPACE="w", AITOEARN_MODELS="m", AITOEARN_MODEL="glm-5.2")

    assert (checked.returncode, checked.stderr) == (0, "")
    for name in ("AITOEARN_WORKSPACE", "AITOEARN_MODELS"):
        assert f"??    setting {name} is not read by this package\n" in checked.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_refused_key_is_the_first_thing_that_is_wrong() -> None:
    """It is masked; all before it is well."""
    checked = run("check", AITOEARN_API_KEY=KEY)

    assert checked.returncode == 3
    assert steps(checked.stdout)[-2:] == ["ok HTTP", "FAIL key"]
    assert re.fullmatch(r"aitoearn-openai: Copy the key once more.*\n", checked.stderr)
    assert f"********{KEY[-4:]} ({len(KEY)} characters)" in checked.stdout
    assert KEY not in checked.stdout


@pytest.mark.parametrize(
    ("options", "code", "rows"),
    [
        (["--base-url", "{}"], 0, ["base_url +{}/api/ai +--base-url", "site +cn +default"]),
        (["--site", "sandbox", "--base-url", "{}"], 0, ["site +sandbox +--site", "base_url +{}/api/ai +--base-url"]),
        (["--site", "sandbox"], 4, [r"base_url +http://127\.0\.0\.1:8378/api/ai +the site"]),
    ],
)  # fmt: skip
def test_options_come_before_variables_and_show_as_options(
    server: ScriptedServer, options: list[str], code: int, rows: list[str]
) -> None:
    """A site that is given sets the address aside that a variable has."""
    server.answer(LIST, LIST, INVALID)
    options = [option.format(server.origin) for option in options]
    key = {} if "--site" in options else {"AITOEARN_API_KEY": KEY}
    given = run("check", *options, AITOEARN_BASE_URL="nonsense", COLUMNS="200", **key)

    assert given.returncode in (0, code)  # A sandbox of yours may be there.
    assert all(re.search(row.format(server.origin), given.stdout) for row in rows)


def test_without_a_key_the_way_is_still_looked_at(server: ScriptedServer) -> None:
    """Then it says where to get one."""
    server.answer(LIST)
    checked = run("check", "--base-url", server.origin)

    assert (checked.returncode, steps(checked.stdout)[-2:]) == (3, ["ok HTTP", "FAIL key"])
    assert f"There is no key for {server.origin}: set AITOEARN_API_KEY" in checked.stderr


def test_a_server_that_wants_a_key_for_the_list_gets_it(scripted: ScriptedServer) -> None:
    """Anybody's list is refused there, which says nothing against the key."""
    scripted.answer(REFUSED, LIST, INVALID)

    assert run("check").returncode == 0
    assert [("x-api-key" in request.headers) for request in scripted.requests[:2]] == [False, True]


@pytest.mark.parametrize(
    ("url", "what", "told", "advice"),
    [
        ("http://a..b", "DNS", "a..b: ", "Look for a typo in the address, and at the network."),
        ("http://127.0.0.1:1", "HTTP", "connection to http://127.0.0.1:1 failed: .*refused", "Look at the address, "),
        ("{server}", "TLS", "(?i)wrong.version.number", "Look at .* whether the server speaks https."),
    ],
)  # fmt: skip
def test_a_broken_way_is_told_where_it_breaks(
    server: ScriptedServer, url: str, what: str, told: str, advice: str
) -> None:
    """With the exit code of the network."""
    url = url.format(server=server.origin.replace("http:", "https:"))
    checked = run("check", "--base-url", url, AITOEARN_API_KEY=KEY)

    assert (checked.returncode, steps(checked.stdout)[-1]) == (4, f"FAIL {what}")
    assert re.search(told, checked.stdout)
    assert re.match(f"aitoearn-openai: {advice}", checked.stderr)


@pytest.mark.parametrize(
    ("replies", "what", "advice"),
    [
        ([BANNED], "HTTP", "The site shows the state of the account."),
        ([PAGE], "HTTP", "Look at the address; if it is right, try again later."),
        ([LIST, BANNED], "key", "The site shows the state of the account."),
        ([LIST, LIST, Reply({"code": 502, "data": {}})], "chat", "Try again later, or another model."),
        ([LIST, LIST, PAGE], "chat", "Look at the address; if it is right, try again later."),
    ],
)
def test_a_service_that_fails_is_told_with_the_advice_of_the_other_commands(
    scripted: ScriptedServer, replies: list[Reply], what: str, advice: str
) -> None:
    """Only instead of "Run check to find the cause" there is something better."""
    scripted.answer(*replies)
    checked = run("check")

    assert (checked.returncode, steps(checked.stdout)[-1]) == (5, f"FAIL {what}")
    assert checked.stderr == f"aitoearn-openai: {advice}\n"


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("model", "told"), [("glm5", "; the closest: glm-5.2\n"), ("xyzzy", "no model is named 'xyzzy'\n")]
)
def test_a_model_that_is_not_offered_is_told(model: str, told: str) -> None:
    """The key and the way are fine, the setting is not."""
    checked = run("check", AITOEARN_MODEL=model)

    assert (checked.returncode, checked.stderr) == (2, "aitoearn-openai: Correct AITOEARN_MODEL.\n")
    assert told in checked.stdout


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_is_told_as_it_finds_the_host(server: ScriptedServer, variable: str, scheme: str) -> None:
    """The name of the service is then not looked up here."""
    server.answer(LIST, LIST, INVALID)
    proxy = {variable: scheme + server.origin.removeprefix("http://")}
    checked = run("check", "--base-url", "http://nowhere.invalid", AITOEARN_API_KEY=KEY, **proxy)

    assert checked.returncode == 0
    assert "left to the proxy 127.0.0.1" in checked.stdout
    assert server.requests[0].path == "http://nowhere.invalid/api/ai/models/chat"


def test_a_key_of_the_other_site_is_found_only_when_asked_for(
    server: ScriptedServer, other_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key goes nowhere that its owner did not name."""
    monkeypatch.setenv("AITOEARN_API_KEY", KEY)
    monkeypatch.setitem(_sites.SITES, "cn", server.origin)
    monkeypatch.setitem(_sites.SITES, "ai", other_server.origin)
    server.answer(REFUSED)
    other_server.answer(LIST)
    cautious = run("check")
    assert (cautious.returncode, other_server.requests) == (3, [])
    assert f"`check --both-sites` sends the key to {other_server.base_url} too" in cautious.stderr

    found = run("check", "--both-sites")
    assert found.returncode == 3
    assert found.stderr == "aitoearn-openai: The key is from the other site: set AITOEARN_SITE=ai.\n"

    other_server.answer(REFUSED)
    lost = run("check", "--both-sites", "--site", "ai")
    assert f"{server.base_url} refuses it too" in lost.stderr


def test_a_certificate_is_told_with_its_end(tmp_path: Path) -> None:
    """And one that nobody vouches for is refused."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Scripted(context) as server:
        server.answer(LIST, LIST, INVALID)
        asked = {"AITOEARN_BASE_URL": server.origin, "AITOEARN_API_KEY": KEY}
        trusted = run("check", SSL_CERT_FILE=str(tmp_path / "ca.pem"), **asked)
        unknown = run("check", **asked)

    assert (trusted.returncode, unknown.returncode) == (0, 4)
    assert re.search(r"\nok    TLS +TLSv1\.[23], certificate until \w+ +\d+ .* GMT\n", trusted.stdout)
    assert re.search(r"\nFAIL  TLS .*CERTIFICATE_VERIFY_FAILED", unknown.stdout)


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (INVALID, 0, "ok    chat    completions are there"),
        (Reply({"data": {}, "code": 12300, "message": "no such model"}), 0, "ok    chat"),
        (Reply({"data": {}, "code": 404, "message": "Cannot POST /x"}), 5, "A self-hosted AiToEarn"),
        (Reply("<h1>Not Found</h1>", status=404, content_type="text/html"), 5, "FAIL  chat"),
        (REFUSED, 3, "FAIL  chat"),
        (Reply("no", status=405, content_type="text/plain"), 5, "FAIL  chat"),
        (Reply({"data": {}, "code": 12001, "message": "Insufficient credits"}), 5, "FAIL  chat"),
        (Reply({"code": 0, "message": "ok", "data": {}}), 5, "FAIL  chat"),
    ],
)
def test_chat_completions_are_looked_for_without_cost(
    scripted: ScriptedServer, reply: Reply, code: int, words: str
) -> None:
    """A self-hosted server has the list alone. The body has neither a model nor messages."""
    scripted.answer(LIST, LIST, reply)
    checked = run("check")

    assert (checked.returncode, scripted.requests[-1].body) == (code, b"{}")
    assert words in checked.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_backend_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked, as every async client would fail."""

    def missing(**_: object) -> None:
        raise RuntimeError("install the extra")

    monkeypatch.setattr(openai, "DefaultAioHttpClient", missing)
    checked = run("check", AITOEARN_HTTP_BACKEND="aiohttp")

    assert checked.returncode == 2
    assert "FAIL  setting AITOEARN_HTTP_BACKEND=aiohttp needs a package that is missing" in checked.stdout
