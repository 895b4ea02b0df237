"""Settings: where they come from, what they accept, and how they say no."""

from __future__ import annotations

import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import openai
import pytest
from pydantic import SecretStr

from aitoearn_openai import AsyncOpenAI, OpenAI, Settings, _settings

CHINA = "https://aitoearn.cn/api/ai"


def key_of(settings: Settings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


FIELDS = {
    "site": (" AI ", "ai", "cn"),
    "base_url": ("http://localhost:8080", "http://localhost:8080/api/ai", CHINA),
    "api_key": (" k-1\n", SecretStr("k-1"), None),
    "model": ("glm-5.2", "glm-5.2", None),
    "timeout": ("2.5", 2.5, None),
    "max_retries": ("0", 0, None),
    "http_backend": ("aiohttp", "aiohttp", "httpx"),
}
"""What the variable of each says, what it means, and what holds without it."""


@pytest.mark.parametrize("is_set", [True, False])
def test_each_field_comes_from_its_variable(is_set: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AITOEARN_` and the field's name; an empty one, as in a shell or a compose file, counts as not set."""
    for name, (value, *_) in FIELDS.items():
        monkeypatch.setenv(f"AITOEARN_{name.upper()}", value if is_set else "")

    wanted = {name: meant if is_set else default for name, (_, meant, default) in FIELDS.items()}
    assert Settings().model_dump() == wanted


@pytest.mark.parametrize(
    ("pasted", "key"),
    [
        ("bearer\tak_1", "ak_1"),
        (" BEARER   ak_1 \n", "ak_1"),
        ("Authorization: Bearer ak_1", "ak_1"),
        ("Bearer ", None),
        ("Authorization:", None),
        ("bearer-1", "bearer-1"),
    ],
)
def test_a_key_may_have_its_scheme(pasted: str, key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service's guides show it in a header; only a word of its own is a scheme."""
    monkeypatch.setenv("AITOEARN_API_KEY", pasted)

    assert key_of(Settings()) == key_of(Settings(api_key=SecretStr(pasted))) == key


@pytest.mark.parametrize(
    ("pasted", "base_url"),
    [
        *(
            (f"https://aitoearn.cn{path}", CHINA)
            for path in ("", "/", "/api", "/api/", "/api/ai", "/api/ai/", "/api/ai//")
        ),
        (" https://aitoearn.cn/api/ai/chat/completions \n", CHINA),
        ("https://aitoearn.cn/api/ai/models/chat/", CHINA),
        ("https://aitoearn.ai:443/api/ai/images/generations?x=1#y", "https://aitoearn.ai/api/ai"),
        ("HTTPS://aitoearn.ai/v1", "https://aitoearn.ai/api/ai"),
        # Of a server of one's own, only the service's paths are completed.
        ("http://localhost:8080", "http://localhost:8080/api/ai"),
        ("http://localhost:8080/api/ai/chat/completions", "http://localhost:8080/api/ai"),
        ("http://[::1]:8080/api", "http://[::1]:8080/api/ai"),
        ("http://localhost:8080/ #top", "http://localhost:8080/api/ai"),
        ("https://gateway.example/v1", "https://gateway.example/v1"),
        ("https://gateway.example/a/b/?", "https://gateway.example/a/b"),
        ("https://aitoearn.cn:8443/other", "https://aitoearn.cn:8443/other"),
    ],
)
def test_every_pasted_form_of_an_address_leads_to_its_base_url(pasted: str, base_url: str) -> None:
    """The service's guides show its address in many forms; people paste each."""
    assert Settings(base_url=pasted).base_url == base_url


def test_what_is_given_in_code_wins_over_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site over an address, too; a real key never goes to the sandbox, which has an address and a key of its own."""
    monkeypatch.setenv("AITOEARN_BASE_URL", "http://localhost:8080")
    monkeypatch.setenv("AITOEARN_API_KEY", "real")
    sandbox = Settings(site="sandbox")

    assert Settings(site="ai").base_url == "https://aitoearn.ai/api/ai"
    assert Settings(site="ai", base_url="http://h.example").base_url == "http://h.example/api/ai"
    assert (sandbox.base_url, key_of(sandbox)) == ("http://127.0.0.1:8378/api/ai", "sandbox")
    assert key_of(Settings(site="sandbox", base_url="http://localhost:1/x")) == "real"


@pytest.mark.parametrize(
    ("encoding", "line_end"),
    [("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("utf-16", "\r\n"), ("utf-16-be", "\n")],
)
def test_a_dotenv_file_is_read_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, line_end: str
) -> None:
    """As Windows writes it too; one that only lies there may be a stranger's, who wants the key. Variables win over it."""
    lines = ["AITOEARN_SITE=ai", "AITOEARN_API_KEY=from-file", "AITOEARN_MODEL=模型", "AITOEARN_X=y", ""]
    Path(tmp_path, ".env").write_bytes(
        ("\ufeff" * encoding.endswith("be") + line_end.join(lines)).encode(encoding)
    )
    monkeypatch.chdir(tmp_path)
    assert Settings().site == "cn"
    with pytest.raises(
        openai.OpenAIError, match=r"^The file \.env is not read by itself: set AITOEARN_ENV_FILE=\.env"
    ):
        OpenAI()
    named = Settings(_env_file=".env")
    assert (named.site, named.model, key_of(named)) == ("ai", "模型", "from-file")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("AITOEARN_ENV_FILE", "~/.env")
    assert Settings() == named
    monkeypatch.setenv("AITOEARN_API_KEY", "from-variable")
    assert key_of(Settings()) == "from-variable"

    Path(".env").write_text("AITOEARN_BASE_URL=http://localhost/v1\n")
    assert Settings().base_url == "http://localhost/v1"
    monkeypatch.setenv("AITOEARN_SITE", "ai")
    assert Settings().base_url == "https://aitoearn.ai/api/ai"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_settings_come_through_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a program that keeps secrets: `AITOEARN_ENV_FILE=<(pass show aitoearn)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("AITOEARN_ENV_FILE", str(pipe))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_text, "AITOEARN_API_KEY=from-pipe\n")
        assert key_of(Settings()) == "from-pipe"
        pool.submit(pipe.write_text, "AITOEARN_APIKEY=misspelt\n")
        with pytest.raises(openai.OpenAIError, match="There is no AiToEarn key"):
            OpenAI()


@pytest.mark.parametrize(
    "content",
    [
        "AITOEARN_API_KEY=canary # 密钥\n".encode("gbk"),
        "AITOEARN_API_KEY=canary # 密钥\n".encode("utf-16-le"),
        "AITOEARN_API_KEY=canary\n".encode("utf-16")[:-1],
        "AITOEARN_API_KEY=canary\n".encode("utf-32"),
        # What `>>` of PowerShell makes of a file in another encoding: each part alone would be text.
        b"AITOEARN_API_KEY=canary\r\n" + "AITOEARN_SITE=ai\r\n".encode("utf-16-le"),
        b"AITOEARN_API_KEY=canary\r\n" + "AITOEARN_SITE=ai\r\n".encode("utf-8-sig"),
    ],
)
def test_a_dotenv_file_that_is_not_text_is_refused_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """With the encoding to save it in; neither the error, nor what it comes from, nor our frames hold the key."""
    file = tmp_path / "my.env"
    file.write_bytes(content)
    monkeypatch.setenv("AITOEARN_ENV_FILE", str(file))
    for make in (OpenAI, Settings, partial(Settings, _env_file=file)):
        with pytest.raises(openai.OpenAIError, match=r"AITOEARN_ENV_FILE.*my\.env.*UTF-8") as caught:
            make()

        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        for frame, _ in traceback.walk_tb(caught.value.__traceback__):
            if frame.f_code.co_filename == _settings.__file__:
                assert not any(isinstance(value, bytes) for value in frame.f_locals.values())
                assert "canary" not in repr(frame.f_locals)


def test_a_dotenv_file_that_is_missing_is_an_error() -> None:
    """In the words of the system: a typing error there must not silently mean other settings."""
    with pytest.raises(openai.OpenAIError, match=r"ENV_FILE .*'no/such\.env' cannot be read: No such file"):
        Settings(_env_file="no/such.env")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SITE", "hunter2", "'cn', 'ai' or 'sandbox'"),
        ("TIMEOUT", "-10", "greater than 0"),
        ("TIMEOUT", "inf", "finite"),
        ("MAX_RETRIES", "hunter2", "integer"),
        ("HTTP_BACKEND", "hunter2", "'httpx' or 'aiohttp'"),
        ("API_KEY", "hunter2 words", "no spaces, line ends, quotes"),
        ("API_KEY", "hunter2é", "ASCII"),
        ("API_KEY", "line\r\nX-hunter2: 1", "line ends"),
        ("API_KEY", "'hunter2'", "quotes"),
        ("BASE_URL", "aitoearn.cn", "https://aitoearn.cn"),
        ("BASE_URL", "localhost:8080", "http://localhost:8080"),
        ("BASE_URL", "ftp://hunter2", "with its scheme"),
        ("BASE_URL", "https://", "with its scheme"),
        ("BASE_URL", "http://aitoearn.ai./api", "write https://aitoearn.ai"),
        ("BASE_URL", "https://me:hunter2@host.example:8080/x", "https://host.example:8080"),
        ("BASE_URL", "http://hunter2:99999", "not an address"),
        ("BASE_URL", "http://[::1", "not an address"),
        ("BASE_URL", "http://hunter2\x1b", "not an address"),
        ("BASE_URL", "https://gateway.example/v1/chat/completions?key=hunter2#top", "default_query="),
        ("BASE_URL", "http://localhost:8080?x", "default_query="),
    ],
)
def test_a_bad_value_names_its_variable_and_what_to_write(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error for all of them, without the values, which may be secrets, and without a chain that holds them."""
    monkeypatch.setenv("AITOEARN_MAX_RETRIES", "many")
    monkeypatch.setenv(f"AITOEARN_{name}", value)
    with pytest.raises(openai.OpenAIError) as caught:
        AsyncOpenAI()
    with pytest.raises(openai.OpenAIError) as of_sync:
        OpenAI()
    assert (f"AITOEARN_{name}" in str(of_sync.value)) == (name != "HTTP_BACKEND")  # It has no other.

    for words in ("AITOEARN_MAX_RETRIES: ", f"AITOEARN_{name}: ", allowed):
        assert words in str(caught.value)
    assert caught.value.__context__ is None
    assert "hunter2" not in str(caught.value)
