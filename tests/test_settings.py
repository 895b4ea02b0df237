"""Settings: where they come from, what they accept, and how they say no."""

from __future__ import annotations

import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import openai
import pytest
from pydantic import SecretStr, ValidationError

from aitoearn_openai import AsyncOpenAI, OpenAI, Settings, _settings

CHINA = "https://aitoearn.cn/api/ai"


def key_of(settings: Settings) -> str | None:
    return settings.api_key.get_secret_value() if settings.api_key else None


def test_without_any_setting_the_site_is_china() -> None:
    """The first server of the service's spec is the default, without a key."""
    settings = Settings()

    assert settings.model_dump() == {
        "site": "cn",
        "base_url": "https://aitoearn.cn/api/ai",
        "api_key": None,
        "model": None,
        "timeout": None,
        "max_retries": None,
        "http_backend": "httpx",
    }


def test_each_field_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AITOEARN_` and the field's name."""
    values = {
        "SITE": " AI ",
        "BASE_URL": "http://localhost:8080",
        "API_KEY": " k-1\n",
        "MODEL": "glm-5.2",
        "TIMEOUT": "2.5",
        "MAX_RETRIES": "0",
        "HTTP_BACKEND": "aiohttp",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AITOEARN_{name}", value)
    settings = Settings()

    assert key_of(settings) == "k-1"
    assert settings.model_dump(exclude={"api_key"}) == {
        "site": "ai",
        "base_url": "http://localhost:8080/api/ai",
        "model": "glm-5.2",
        "timeout": 2.5,
        "max_retries": 0,
        "http_backend": "aiohttp",
    }


@pytest.mark.parametrize(
    ("pasted", "key"),
    [
        *((pasted, "ak_1") for pasted in ("bearer\tak_1", " BEARER   ak_1 \n", "Authorization: Bearer ak_1")),
        *((pasted, None) for pasted in ("Bearer ", "Authorization:", "  ")),
        ("bearer-1", "bearer-1"),
    ],
)
def test_a_key_pasted_with_its_scheme_means_the_key(
    pasted: str, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the service's guides show it in a header; only a word of its own is a scheme."""
    monkeypatch.setenv("AITOEARN_API_KEY", pasted)

    assert key_of(Settings()) == key_of(Settings(api_key=SecretStr(pasted))) == key


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AITOEARN_API_KEY=` in a shell or a compose file means that there is no key."""
    for name in ("API_KEY", "SITE", "BASE_URL", "TIMEOUT"):
        monkeypatch.setenv(f"AITOEARN_{name}", "")

    assert Settings() == Settings(site="cn")


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


@pytest.mark.parametrize(
    ("pasted", "advice"),
    [
        ("aitoearn.cn", "https://aitoearn.cn"),
        ("localhost:8080", "http://localhost:8080"),
        ("ftp://aitoearn.cn", "with its scheme"),
        ("https://", "with its scheme"),
        ("http://aitoearn.ai/api", "write https://aitoearn.ai"),
        ("https://me:hunter2@host.example/x", "https://host.example"),
        ("http://host.example:99999", "not an address"),
        ("http://[::1", "not an address"),
        ("https://gateway.example/v1?tenant=1", "default_query="),
        ("https://gateway.example/v1/chat/completions?key=hunter2#top", "default_query="),
        ("http://localhost:8080?x", "default_query="),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_with_what_to_write(
    pasted: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal names the variable and never repeats a password."""
    monkeypatch.setenv("AITOEARN_BASE_URL", pasted)
    with pytest.raises(openai.OpenAIError) as caught:
        OpenAI(api_key="k")

    assert "AITOEARN_BASE_URL" in str(caught.value)
    assert advice in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_real_key_never_goes_to_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AITOEARN_SITE=sandbox` has an address and a key of its own, also beside a key of a real site."""
    monkeypatch.setenv("AITOEARN_API_KEY", "real")
    settings = Settings(site="sandbox")

    assert (settings.base_url, key_of(settings)) == ("http://127.0.0.1:8378/api/ai", "sandbox")
    assert key_of(Settings(site="sandbox", base_url="http://localhost:1/x")) == "real"


def test_a_site_in_code_wins_over_the_base_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings(site="ai")` means that site; the base URL wins over a site from the same place only."""
    monkeypatch.setenv("AITOEARN_BASE_URL", "http://localhost:8080")

    assert Settings(site="ai").base_url == "https://aitoearn.ai/api/ai"
    assert Settings(site="ai", base_url="http://h.example").base_url == "http://h.example/api/ai"


def test_a_dotenv_file_in_the_working_directory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's directory cannot send the user's key to a host of its choice."""
    (tmp_path / ".env").write_text("AITOEARN_BASE_URL=https://evil.example\n")
    monkeypatch.chdir(tmp_path)

    assert Settings().base_url == "https://aitoearn.cn/api/ai"


@pytest.mark.parametrize(
    ("encoding", "line_end"),
    [("utf-8", "\n"), ("utf-8-sig", "\r\n"), ("utf-16", "\r\n"), ("utf-16-be", "\n")],
)
def test_a_dotenv_file_is_read_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, line_end: str
) -> None:
    """By `AITOEARN_ENV_FILE` or by `_env_file`, as Windows writes it too; variables win over the file."""
    file = tmp_path / "my.env"
    lines = ["AITOEARN_SITE=ai", "AITOEARN_API_KEY=from-file", "AITOEARN_MODEL=模型", "OPENAI_API_KEY=sk", ""]
    file.write_bytes(("\ufeff" * encoding.endswith("be") + line_end.join(lines)).encode(encoding))
    named = Settings(_env_file=file)
    monkeypatch.setenv("AITOEARN_ENV_FILE", str(file))

    assert named == Settings()
    assert (named.site, named.model, key_of(named)) == ("ai", "模型", "from-file")
    monkeypatch.setenv("AITOEARN_API_KEY", "from-variable")
    assert key_of(Settings()) == "from-variable"


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


def test_a_misspelt_variable_is_named_where_its_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before all else that a missing key has to say."""
    monkeypatch.setenv("AITOEARN_APIKEY", "mine")
    with pytest.raises(openai.OpenAIError, match=r"^AITOEARN_APIKEY is set, but is not a setting: rename it"):
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
@pytest.mark.parametrize("where", ["variable", "client", "code"])
def test_a_dotenv_file_that_is_no_text_is_refused_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, where: str
) -> None:
    """With the encoding to save it in; neither the error, nor what it comes from, nor our frames hold the key."""
    file = tmp_path / "my.env"
    file.write_bytes(content)
    ask = partial(Settings, _env_file=file) if where == "code" else OpenAI if where == "client" else Settings
    if where != "code":
        monkeypatch.setenv("AITOEARN_ENV_FILE", str(file))
    with pytest.raises(openai.OpenAIError, match=r"AITOEARN_ENV_FILE.*my\.env.*UTF-8") as caught:
        ask()

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if frame.f_code.co_filename == _settings.__file__:
            assert not any(isinstance(value, bytes) for value in frame.f_locals.values())
            assert "canary" not in repr(frame.f_locals)


def test_a_named_dotenv_file_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the system: a typing error there must not silently mean other settings."""
    monkeypatch.setenv("AITOEARN_ENV_FILE", "no/such.env")
    words = r"AITOEARN_ENV_FILE .*'no/such\.env' cannot be read: No such file"
    for make in (OpenAI, partial(Settings, _env_file="no/such.env")):
        with pytest.raises(openai.OpenAIError, match=words):
            make()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SITE", "ak_a_key_in_the_wrong_place", "write one of cn, ai, sandbox"),
        ("TIMEOUT", "-10", "greater than 0"),
        ("TIMEOUT", "inf", "finite"),
        ("MAX_RETRIES", "many", "integer"),
        ("HTTP_BACKEND", "curl", "'httpx' or 'aiohttp'"),
        ("API_KEY", "two words", "no spaces, line ends, quotes"),
        ("API_KEY", "clé", "ASCII"),
        ("API_KEY", "line\r\nX-Evil: 1", "line ends"),
        ("API_KEY", "'quoted'", "quotes"),
    ],
)
def test_a_bad_value_names_its_variable_and_what_is_allowed(
    name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One error for all of them, without the values and without a chain that holds them."""
    monkeypatch.setenv("AITOEARN_BASE_URL", "nowhere")
    monkeypatch.setenv(f"AITOEARN_{name}", value)
    with pytest.raises(openai.OpenAIError) as caught:
        AsyncOpenAI()

    for words in ("AITOEARN_BASE_URL: ", f"AITOEARN_{name}: ", allowed):
        assert words in str(caught.value)
    assert caught.value.__context__ is None
    assert value not in str(caught.value)


def test_no_secret_shows_in_settings_or_their_errors() -> None:
    """Neither in `repr` nor in pydantic's own error."""
    assert "hidden" not in repr(Settings(api_key=SecretStr("hidden")))
    with pytest.raises(ValidationError) as caught:
        Settings(api_key="hid den")  # type: ignore[arg-type]
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if frame.f_code.co_filename == _settings.__file__:
            assert "hid" not in repr(frame.f_locals)
    with pytest.raises(ValidationError) as caught:
        Settings(api_key=SecretStr("hid den"), base_url="https://u:hid@den.example")
    assert "hid" not in str(caught.value)


def test_a_misspelt_field_is_refused() -> None:
    """The default in its place would send a key to another site."""
    with pytest.raises(TypeError, match=r"Settings has no 'sit': it has site, base_url, api_key"):
        Settings(sit="ai", api_key="k")  # type: ignore[call-arg]
