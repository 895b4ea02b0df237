"""`check`: what a person sees when it works, and at each place where it does not."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from commands import KEY, run, run_process, sandboxed  # noqa: F401 - a fixture
from conftest import Reply, ScriptedServer

LIST = Reply({"data": [{"name": "glm-5.2"}], "code": 0})
INVALID = Reply({"data": {}, "code": 400, "message": "Bad request"})
"""What a body without messages gets."""
REFUSED = Reply({"data": {}, "code": 401, "message": "Unauthorized"})


def steps(shown: str) -> list[list[str]]:
    """The verdicts, each with what it is about."""
    return [line.split()[:2] for line in shown.splitlines() if line.startswith(("ok ", "no "))]


@pytest.mark.usefixtures("sandboxed")
def test_all_is_well_with_the_sandbox(tmp_path: Path) -> None:
    """Each setting and where it is from, each step, and what to do next."""
    (tmp_path / "my.env").write_text("AITOEARN_TIMEOUT=20\nAITOEARN_MODEL=\n")
    checked = run(
        "check", AITOEARN_MODEL="GLM 5.2", AITOEARN_ENV_FILE=str(tmp_path / "my.env"), COLUMNS="200"
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    settings = {line.split()[0]: line.split()[1:] for line in checked.stdout.splitlines()[3:9]}
    assert settings["site"] == ["sandbox", "AITOEARN_SITE"]
    assert settings["base_url"][1] == "AITOEARN_BASE_URL"
    assert settings["api_key"] == ["********", "(7", "characters)", "the", "site"]
    assert settings["model"] == ["GLM", "5.2", "AITOEARN_MODEL"]
    assert settings["timeout"] == ["20.0", str(tmp_path / "my.env")]
    assert settings["max_retries"] == ["-", "the", "SDK's"]
    assert steps(checked.stdout) == [
        ["ok", what] for what in ("DNS", "TLS", "HTTP", "key", "chat", "models", "model")
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

    assert checked.returncode == 2
    assert re.search(
        rf"^no  setting {wrong} is not a setting; do you mean {right}\?$", checked.stdout, re.MULTILINE
    )
    assert checked.stderr == f"aitoearn-openai: Rename it to {right}.\n"


@pytest.mark.usefixtures("sandboxed")
def test_a_variable_of_another_program_is_only_named() -> None:
    """One that is like no setting, or beside the setting that it is like."""
    checked = run("check", AITOEARN_WORKSPACE="w", AITOEARN_MODELS="m", AITOEARN_MODEL="glm-5.2")

    assert (checked.returncode, checked.stderr) == (0, "")
    for name in ("AITOEARN_WORKSPACE", "AITOEARN_MODELS"):
        assert f"??  setting {name} is not read by this package\n" in checked.stdout


@pytest.mark.usefixtures("sandboxed")
def test_a_refused_key_is_the_first_thing_that_is_wrong() -> None:
    """It is masked; all before it is well."""
    checked = run("check", AITOEARN_API_KEY=KEY)

    assert checked.returncode == 3
    assert steps(checked.stdout)[-2:] == [["ok", "HTTP"], ["no", "key"]]
    assert re.fullmatch(r"aitoearn-openai: Copy the key once more.*\n", checked.stderr)
    assert f"********{KEY[-4:]} ({len(KEY)} characters)" in checked.stdout
    assert KEY not in checked.stdout


def test_options_come_before_variables_and_show_as_options(server: ScriptedServer) -> None:
    """A site that is given sets the address aside that a variable has."""
    server.answer(*[LIST, LIST, INVALID] * 2)
    given = run("check", "--base-url", server.origin, AITOEARN_API_KEY=KEY, COLUMNS="200")
    keyless = run(
        "check", "--site", "sandbox", "--base-url", server.origin, AITOEARN_BASE_URL="http://127.0.0.1:1"
    )
    site = run("check", "--site", "sandbox", AITOEARN_BASE_URL="http://127.0.0.1:1")

    assert (given.returncode, keyless.returncode) == (0, 0)
    assert re.search(rf"base_url +{server.base_url} +--base-url", given.stdout)
    assert re.search(r"site +cn +default", given.stdout)
    assert re.search(r"site +sandbox +--site", keyless.stdout)
    assert re.search(r"base_url +http://127\.0\.0\.1:8378/api/ai +the site", site.stdout)


def test_without_a_key_the_way_is_still_looked_at(server: ScriptedServer) -> None:
    """Then it says where to get one."""
    server.answer(LIST)
    checked = run("check", "--base-url", server.origin)

    assert checked.returncode == 3
    assert steps(checked.stdout)[-2:] == [["ok", "HTTP"], ["no", "key"]]
    assert f"There is no key for {server.origin}: set AITOEARN_API_KEY" in checked.stderr


def test_a_server_that_wants_a_key_for_the_list_gets_it(server: ScriptedServer) -> None:
    """Anybody's list is refused there, which says nothing against the key."""
    server.answer(REFUSED, LIST, INVALID)
    checked = run("check", AITOEARN_BASE_URL=server.origin, AITOEARN_API_KEY=KEY)

    assert checked.returncode == 0
    assert [("x-api-key" in request.headers) for request in server.requests[:2]] == [False, True]


@pytest.mark.parametrize(
    ("url", "what", "told"),
    [
        ("http://a..b", "DNS", "a..b: "),
        ("http://127.0.0.1:1", "HTTP", "connection to http://127.0.0.1:1 failed: .*refused"),
        ("{server}", "TLS", "WRONG_VERSION_NUMBER|wrong version number"),
    ],
)
def test_a_broken_way_is_told_where_it_breaks(server: ScriptedServer, url: str, what: str, told: str) -> None:
    """With the exit code of the network."""
    url = url.format(server=server.origin.replace("http:", "https:"))
    checked = run("check", "--base-url", url, AITOEARN_API_KEY=KEY)

    assert checked.returncode == 4
    assert steps(checked.stdout)[-1] == ["no", what]
    assert re.search(told, checked.stdout)
    assert checked.stderr.startswith("aitoearn-openai: Look ")
    assert ("whether the server speaks https" in checked.stderr) == (what == "TLS")


@pytest.mark.parametrize(
    "replies", [[Reply("<html>", content_type="text/html")], [LIST, Reply({"code": 12003})]]
)
def test_a_service_that_fails_is_told_with_its_words(server: ScriptedServer, replies: list[Reply]) -> None:
    """Before the key is asked about, or then."""
    server.answer(*replies)
    checked = run("check", AITOEARN_BASE_URL=server.origin, AITOEARN_API_KEY=KEY)

    assert checked.returncode == 5
    assert steps(checked.stdout)[-1] == ["no", "HTTP" if len(replies) == 1 else "key"]


PAGE = Reply("<html>", content_type="text/html")
BANNED = Reply({"code": 12003, "message": "Account is disabled", "data": {}})


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
def test_the_advice_is_that_of_the_other_commands(
    server: ScriptedServer, replies: list[Reply], what: str, advice: str
) -> None:
    """Only instead of "Run check to find the cause" there is something better."""
    server.answer(*replies)
    checked = run("check", AITOEARN_BASE_URL=server.origin, AITOEARN_API_KEY=KEY)

    assert steps(checked.stdout)[-1] == ["no", what]
    assert checked.stderr == f"aitoearn-openai: {advice}\n"


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(
    ("model", "told"), [("glm", "The closest: glm-5.2."), ("xyzzy", "not in the list.\n")]
)
def test_a_model_that_is_not_offered_is_told(model: str, told: str) -> None:
    """The key and the way are fine, the setting is not."""
    checked = run("check", AITOEARN_MODEL=model)

    assert checked.returncode == 2
    assert told in checked.stdout
    assert checked.stderr == "aitoearn-openai: Correct AITOEARN_MODEL.\n"


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


TWO_SITES = """\
import sys
from aitoearn_openai import _settings
from aitoearn_openai.__main__ import main
_settings.SITES.update(cn=sys.argv.pop(1), ai=sys.argv.pop(1))
main()
"""


def check_two_sites(
    cn: ScriptedServer, ai: ScriptedServer, *options: str
) -> subprocess.CompletedProcess[str]:
    """The command, with two servers on this machine for the official sites."""
    program = [sys.executable, "-c", TWO_SITES, cn.origin, ai.origin]
    return run_process("check", *options, command=program, AITOEARN_API_KEY=KEY)


def test_a_key_of_the_other_site_is_found_only_when_asked_for(
    server: ScriptedServer, other_server: ScriptedServer
) -> None:
    """A key goes nowhere that its owner did not name."""
    server.answer(REFUSED)
    other_server.answer(LIST)
    cautious = check_two_sites(server, other_server)
    assert (cautious.returncode, other_server.requests) == (3, []), cautious.stderr
    assert f"`check --both-sites` sends the key to {other_server.base_url} too" in cautious.stderr

    found = check_two_sites(server, other_server, "--both-sites")
    assert found.returncode == 3
    assert found.stderr == "aitoearn-openai: The key is from the other site: set AITOEARN_SITE=ai.\n"

    other_server.answer(REFUSED)
    lost = check_two_sites(other_server, server, "--both-sites", "--site", "ai")
    assert f"{other_server.base_url} does not take it either" in lost.stderr


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server with a certificate that is made here, and the certificate's file."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    try:
        subprocess.run(
            [
                "openssl",
                *making,
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                certificate,
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:  # pragma: no cover
        pytest.skip("openssl is not installed")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(LIST.encoded())

        def do_POST(self) -> None:
            self.send_response(400)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # Who does not trust the certificate hangs up.

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_is_told_with_its_end(https: tuple[str, Path]) -> None:
    """And one that nobody vouches for is refused."""
    url, certificate = https
    trusted = run("check", "--base-url", url, AITOEARN_API_KEY=KEY, SSL_CERT_FILE=str(certificate))
    unknown = run("check", "--base-url", url, AITOEARN_API_KEY=KEY)

    assert (trusted.returncode, unknown.returncode) == (0, 4)
    assert re.search(
        r"^ok  TLS +TLSv1\.[23], certificate until \w+ +\d+ .* GMT$", trusted.stdout, re.MULTILINE
    )
    assert re.search(r"^no  TLS .*CERTIFICATE_VERIFY_FAILED", unknown.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (INVALID, 0, "ok  chat    completions are there"),
        (Reply({"data": {}, "code": 12300, "message": "no such model"}), 0, "ok  chat"),
        (
            Reply({"data": {}, "code": 404, "message": "Cannot POST /api/ai/chat/completions"}),
            5,
            "A self-hosted AiToEarn",
        ),
        (Reply("<h1>Not Found</h1>", status=404, content_type="text/html"), 5, "no  chat"),
        (Reply({"data": {}, "code": 401, "message": "Unauthorized"}), 3, "no  chat"),
        (Reply("<p>", content_type="text/html"), 5, "no  chat"),
        (Reply("no", status=405, content_type="text/plain"), 5, "no  chat"),
        (Reply({"data": {}, "code": 12008, "message": "Account is banned"}), 5, "no  chat"),
        (Reply({"data": {}, "code": 12001, "message": "Insufficient credits"}), 5, "no  chat"),
        (Reply({"code": 0, "message": "ok", "data": {}}), 5, "no  chat"),
    ],
)
def test_chat_completions_are_looked_for_without_cost(
    server: ScriptedServer, reply: Reply, code: int, words: str
) -> None:
    """A self-hosted server has the list alone. The body has neither a model nor messages."""
    server.answer(LIST, LIST, reply)
    checked = run("check", AITOEARN_BASE_URL=server.origin, AITOEARN_API_KEY=KEY)

    assert (checked.returncode, server.requests[-1].body) == (code, b"{}")
    assert words in checked.stdout


WITHOUT_AIOHTTP = """
import openai
from aitoearn_openai.__main__ import main
class Missing:
    def __init__(self, **_):
        raise RuntimeError("install the extra")
openai.DefaultAioHttpClient = Missing
main()
"""


@pytest.mark.usefixtures("sandboxed")
def test_a_backend_that_is_not_installed_is_found() -> None:
    """Before anything is asked, as every async client would fail."""
    checked = run_process(
        "check", command=[sys.executable, "-c", WITHOUT_AIOHTTP], AITOEARN_HTTP_BACKEND="aiohttp"
    )

    assert checked.returncode == 2
    assert "no  setting AITOEARN_HTTP_BACKEND=aiohttp needs a package that is missing" in checked.stdout
