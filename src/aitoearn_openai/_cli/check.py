"""`check`: what works and what does not, from the settings to the key, and what to do next."""

from __future__ import annotations

import os
import ssl
import time
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aitoearn_openai as openai

from .._sites import API_PATH, ENV_PREFIX, SANDBOX_KEY, SITES, is_here
from .._wording import causes
from . import failures, options
from .lists import fetch, matching
from .screen import console, escape, show, table

_SECONDS = 30.0
_NO_MODEL = "12300", "model_not_found"
_LONG_KEY = 16
"""Only of such a key the end is shown: of a shorter one, too little would stay hidden."""
_LOOK = "Look at the address, the network and proxies; if they are right, try again later."
_LOOK_AT_TLS = "Look at proxies, at the clock of this machine, and whether the server speaks https."


def check(site: options.Site = None, base_url: options.BaseUrl = None) -> None:
    """Test the settings, the network and the key. Costs no credits.

    The exit code is 0 if all is well, 2 for a wrong setting, 3 for the key, 4 for the network, 5 for the service.
    """
    from .._pools import make_pool
    from .._settings import missing_key, misspelt_hint

    settings = options.resolve(site, base_url)
    given = dict.fromkeys(["site", "base_url"], "--site") if site else {}
    _show_settings(settings, {**given, "base_url": "--base-url"} if base_url else given)
    if renames := misspelt_hint():
        _bad("setting", "misspelt", renames.strip(), failures.USAGE)
    make_pool(is_async=True, backend=settings.http_backend, base_url=SITES["sandbox"])  # It may be missing.
    settings = settings.model_copy(update={"max_retries": 0, "timeout": settings.timeout or _SECONDS})
    offered = _reach(settings)
    if not settings.api_key:
        _bad("key", "missing", missing_key(settings), failures.KEY)
    try:
        offered = fetch(settings) or offered  # A server that looks at keys refuses a wrong one here.
        _show("ok", "key", f"accepted by {settings.base_url.removesuffix(API_PATH)}")
    except openai.APIError as error:
        _failed("key", error)
    _find_chat(settings)
    _show("ok", "models", f"{len(offered)} in the list")
    if settings.model:
        found = matching(offered, settings.model)
        if isinstance(found, str):
            _bad("model", found, f"Correct {ENV_PREFIX}MODEL.", failures.USAGE)
        _show("ok", "model", f"{found.id} is in the list")
    names = [escape(each.id) for each in offered if "image" not in each.output_modalities]
    option = f" -m {names[0]}" if names and not settings.model else ""
    show(f"\nAll is well. Next: aitoearn-openai chat{option} Hello")


def _show(mark: str, what: str, text: str) -> None:
    style = {"ok": "green", "??": "yellow"}.get(mark, "red")
    show(f"[{style}]{mark:4}[/]  {what:7} {escape(text)}")


def _bad(what: str, text: str, next_step: str, code: int) -> NoReturn:
    _show("FAIL", what, text)
    failures.fail(next_step, code)


def _failed(what: str, error: openai.APIError) -> NoReturn:
    text, advice, code = failures.explain(error)
    if any(isinstance(cause, ssl.SSLError) for cause in causes(error)):
        what, advice = "TLS", _LOOK_AT_TLS
    elif advice in ("", failures.LOOK):
        advice = _LOOK
    _bad(what, text, advice, code)


def _show_settings(settings: openai.Settings, given: dict[str, str]) -> None:
    """Each setting and where it is from, of which some are given by options."""
    from .._settings import env_file_source

    variables = {name.upper() for name, value in os.environ.items() if value}
    file = os.environ.get(f"{ENV_PREFIX}ENV_FILE", "")
    is_file = os.path.isfile(os.path.expanduser(file))  # A pipe can be read only once.
    in_file = env_file_source(openai.Settings, file)() if is_file else {}
    rows = []
    for field, value in settings:
        variable = f"{ENV_PREFIX}{field.upper()}"
        source = file if in_file.get(field) else "default"
        if field == "base_url" and f"{ENV_PREFIX}SITE" in variables:
            source = "default"
        source = given.get(field) or (variable if variable in variables else source)
        if field == "api_key" and value:
            key = value.get_secret_value()
            source = "the sandbox's own" if key == SANDBOX_KEY else source
            value = f"********{key[-4:] if len(key) >= _LONG_KEY else ''} ({len(key)} characters)"
        rows.append([field, "-" if value is None else str(value), source])
    console.print(table(["setting", "value", "from"], rows))


def _reach(settings: openai.Settings) -> list[openai.ChatModel]:
    """The list as anybody gets it; on the way, what the connection is like."""
    from .._pools import make_pool

    def look(response: Any) -> None:
        tls = response.extensions["network_stream"].get_extra_info("ssl_object")
        if tls:
            _show("ok", "TLS", f"{tls.version()}, certificate until {tls.getpeercert()['notAfter']}")
        elif not is_local:
            _show("??", "TLS", "not used: others on the way can read the key and the prompts; use https")
        milliseconds = 1000 * (time.monotonic() - started)
        _show("ok", "HTTP", f"{response.http_version}, status {response.status_code}, {milliseconds:.0f} ms")

    address, is_local = urlsplit(settings.base_url), is_here(settings.base_url)
    proxy = getproxies().get(address.scheme) or getproxies().get("all")
    if proxy and not is_local and not proxy_bypass(str(address.hostname)):
        name = urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc.rpartition("@")[2]
        _show("ok", "proxy", f"{name}, which the settings of this machine name")
    http_client = make_pool(is_async=False, base_url=settings.base_url)
    http_client.event_hooks = {"response": [look]}
    started = time.monotonic()
    try:
        return fetch(settings.model_copy(update={"api_key": None}), http_client=http_client)
    except openai.AuthenticationError:
        return []  # Some servers want a key for the list too; whether they take ours comes next.
    except openai.APIError as error:
        _failed("HTTP", error)


def _find_chat(settings: openai.Settings) -> None:
    """Whether chat completions are there: a body without a model and messages is refused, and costs nothing."""
    from openai.types.chat import ChatCompletion

    try:
        with openai.OpenAI.from_settings(settings) as client:
            client.post("/chat/completions", body={}, cast_to=ChatCompletion)
    except openai.APIError as error:
        # This body is refused as what it is, or for the model that it does not name.
        if getattr(error, "status_code", 500) not in (400, 422) and error.code not in _NO_MODEL:
            _failed("chat", error)
    _show("ok", "chat", "completions are there")
