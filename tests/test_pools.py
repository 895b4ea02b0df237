"""The HTTP clients that are made here: one TLS context for all of them, and aiohttp for those who want it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import openai
import pytest
import trustme

from aitoearn_openai import AsyncOpenAI, OpenAI, Settings
from aitoearn_openai.sandbox import Sandbox
from conftest import AIOHTTP, Asker, Reply, complete, list_models, scripted_server

LIST = Reply({"code": 0, "data": [{"name": "glm-5.2"}]})
NAME_OF_AUTHORITY = "f79545db.0"
"""Where OpenSSL looks for it in a folder: a hash of its name, as `openssl x509 -hash` prints it."""


def new_authority() -> trustme.CA:
    return trustme.CA(organization_name="aitoearn-openai", organization_unit_name="tests")


def test_clients_share_one_tls_context(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain SDK makes one for each client."""
    make = mock.Mock(wraps=ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", make)
    for seconds in range(5):
        asker.client(api_key="k", timeout=seconds)
    assert make.call_count == 1


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_environment_of_tls_is_read_for_each_client(
    variable: str, asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the plain SDK; an authority that is replaced is known to the next one, while clients of the old one live."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / NAME_OF_AUTHORITY
    alive = []
    for turn in range(2):
        authority, context = new_authority(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with scripted_server(context) as server:
            server.answer(LIST)
            where = {"api_key": "k", "base_url": server.base_url, "max_retries": 0}
            with pytest.raises(openai.APIConnectionError):
                asker.run(list_models, **where)
            authority.cert_pem.write_to_path(str(file))
            monkeypatch.setenv(variable, str(file if variable == "SSL_CERT_FILE" else tmp_path))
            assert asker.run(list_models, **where).data[0].id == "glm-5.2", turn
            alive.append(asker.client(**where))


def context_of_a_new_client() -> Any:
    pool: Any = OpenAI(api_key="k")._client
    return pool._transport._pool._ssl_context


@pytest.mark.parametrize("what", ["an authority", "no host name", "another version"])
def test_a_context_that_was_changed_is_not_shared_any_more(what: str) -> None:
    """Whom one client trusts, no other client trusts for that."""
    context = context_of_a_new_client()
    assert context_of_a_new_client() is context
    if what == "an authority":
        context.load_verify_locations(cadata=new_authority().cert_pem.bytes().decode())
    elif what == "no host name":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    assert context_of_a_new_client() is not context
    assert context_of_a_new_client() is context_of_a_new_client()


def test_truststore_is_used_from_the_next_client_on() -> None:
    """Which puts a class of its own in the place of `ssl.SSLContext`, and takes it out again."""
    truststore: Any = pytest.importorskip("truststore")
    context_of_a_new_client()
    truststore.inject_into_ssl()
    try:
        assert type(context_of_a_new_client()) is truststore.SSLContext
    finally:
        truststore.extract_from_ssl()
    assert type(context_of_a_new_client()) is ssl.SSLContext


@pytest.mark.skipif(not AIOHTTP, reason="aiohttp is not installed")
def test_the_backend_is_chosen_by_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the async client, by variable or in code; a sync client and an `http_client` of one's own stay."""
    aiohttp = openai.DefaultAioHttpClient
    chosen = AsyncOpenAI.from_settings(Settings(api_key="k", http_backend="aiohttp"))
    assert isinstance(chosen._client, aiohttp)
    assert not isinstance(AsyncOpenAI(api_key="k")._client, aiohttp)

    monkeypatch.setenv("AITOEARN_HTTP_BACKEND", "aiohttp")
    everything: Any = {"api_key": "k", "base_url": "http://127.0.0.1", "timeout": 1, "max_retries": 0}
    assert isinstance(AsyncOpenAI(**everything).copy(timeout=2)._client, aiohttp)
    assert not isinstance(OpenAI(**everything)._client, aiohttp)
    own = openai.DefaultAsyncHttpxClient()
    assert AsyncOpenAI(**everything, http_client=own)._client is own


def test_where_aiohttp_is_missing_the_error_says_what_to_install() -> None:
    """In a process of its own, as the SDK looks for it when it is imported."""
    code = "import sys; sys.modules['aiohttp'] = None; from aitoearn_openai import AsyncOpenAI; AsyncOpenAI(api_key='k')"
    environment = {**os.environ, "AITOEARN_HTTP_BACKEND": "aiohttp"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)

    assert done.stderr.strip().endswith(b"a package that is missing: pip install 'aitoearn-openai[aiohttp]'.")


@pytest.mark.skipif(find_spec("socksio") is not None, reason="the package for SOCKS is installed")
@pytest.mark.parametrize(
    ("asker", "variable", "proxy"),
    [
        ("sync", "ALL_PROXY", "socks5://user:secret@127.0.0.1:1"),
        ("async", "all_proxy", "socks://user:secret@127.0.0.1:1"),
        ("async", "HTTPS_PROXY", "ftp://127.0.0.1:1"),
        ("sync", "HTTP_PROXY", "http://127.0.0.1:port"),
    ],
    indirect=["asker"],
)
def test_a_proxy_that_cannot_be_used_is_named(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    """With the variable and what to do, and without its value, which may hold a password."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, proxy)
    words = rf"^{variable} cannot .*pip install socksio.*socks5://.*NO_PROXY .* without brackets and slash"
    with pytest.raises(openai.OpenAIError, match=words) as raised:
        asker.client(api_key="k")

    assert "secret" not in f"{raised.value} {raised.value.__cause__} {raised.value.__context__}"


@pytest.mark.parametrize("replaced", ["subclass", "mock"])
def test_clients_are_made_where_a_tracer_has_replaced_the_classes_of_httpx(
    asker: Asker, site: Sandbox, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    """As instrumentations and test suites do after everything is imported."""
    library: Any = sys.modules[openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0]]
    for name in ("Client", "AsyncClient"):
        new = type(name, (getattr(library, name),), {}) if replaced == "subclass" else mock.MagicMock()
        monkeypatch.setattr(library, name, new)
    client = asker.client(api_key="k")

    assert isinstance(client, openai.AsyncOpenAI if asker.is_async else openai.OpenAI)
    if replaced == "subclass":  # With a mock, the SDK's own calls fail.
        assert asker.run(complete("glm-5.2"), base_url=site.base_url, api_key=site.api_key).choices
