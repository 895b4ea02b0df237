"""`check`: what works and what does not, from the settings to the key, and what to do next."""

from __future__ import annotations

import os
import ssl
import time
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from typer import Option

import aitoearn_openai as openai

from .._sites import API_PATH, ENV_PREFIX, SITES, needs_no_proxy, site_base_url
from .._wording import causes
from . import failures, options
from .lists import fetch, matching
from .screen import console, escape, show, table

_SECONDS = 30.0
_OTHER_SITE = {site_base_url("cn"): "ai", site_base_url("ai"): "cn"}
_REFUSES_AN_EMPTY_BODY = 400, 404, 422
_HAS_NO_CHAT = 404, 405, 410, 501
_LONG_KEY = 16
"""Only of such a key the end is shown: of a shorter one, too little would stay hidden."""
_LOOK = "Look at the address, the network and proxies; if they are right, try again later."
_LOOK_AT_TLS = "Look at proxies, at the clock of this machine, and whether the server speaks https."
_KEY = "Copy the key once more, or create one: Settings, then API Key"


def check(
    both_sites: Annotated[
        bool,
        Option("--both-sites", help="Send a refused key to the other official site too, to test it there."),
    ] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Test the settings, the network and the key. Costs no credits.

    The exit code is 0 if all is well, 2 for a wrong setting, 3 for the key, 4 for the network, 5 for the service.
    """
    from .._pools import make_pool
    from .._settings import missing_key

    settings = options.resolve(site, base_url)
    _show_settings(settings, {"site": site, "base_url": base_url})
    _find_misspelt()
    try:
        make_pool(is_async=True, backend=settings.http_backend, base_url=SITES["sandbox"])
    except openai.OpenAIError as error:
        _bad("setting", str(error), f"Or unset {ENV_PREFIX}HTTP_BACKEND.", failures.USAGE)
    offered = _reach(settings)
    if not settings.api_key:
        _bad("key", "missing", missing_key(settings), failures.KEY)
    origin = settings.base_url.removesuffix(API_PATH)
    try:
        # A server that looks at keys refuses a wrong one here.
        offered = _fetch(settings) or offered
        _show("ok", "key", f"accepted by {origin}")
        _find_chat(settings)
    except openai.AuthenticationError:
        _bad("key", f"refused by {origin}", _where_it_belongs(settings, both_sites), failures.KEY)
    except openai.APIError as error:
        _failed("key", error)
    _show("ok", "models", f"{len(offered)} in the list")
    if settings.model:
        found = matching(offered, settings.model)
        if isinstance(found, str):
            _bad("model", found, f"Correct {ENV_PREFIX}MODEL.", failures.USAGE)
        _show("ok", "model", f"{found.id} is in the list")
    show("\nAll is well. Next: aitoearn-openai chat Hello")


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
    _bad(what, text, _LOOK if advice == failures.LOOK else advice, code)


def _show_settings(settings: openai.Settings, given: dict[str, str | None]) -> None:
    from .._settings import env_file_source

    variables = {name.upper() for name, value in os.environ.items() if value}
    file = os.environ.get(f"{ENV_PREFIX}ENV_FILE")
    in_file = env_file_source(openai.Settings, file)() if file else {}
    rows = []
    for field in openai.Settings.model_fields:
        value, variable = getattr(settings, field), f"{ENV_PREFIX}{field.upper()}"
        if given.get(field):
            source = f"--{field.replace('_', '-')}"
        elif field == "base_url" and given["site"]:
            source = "--site"
        elif variable in variables:
            source = variable
        else:
            source = str(file) if in_file.get(field) else "default"
        if field == "api_key" and value:
            key = value.get_secret_value()
            value = f"********{key[-4:] if len(key) >= _LONG_KEY else ''} ({len(key)} characters)"
        rows.append([field, "-" if value is None else str(value), source])
    console.print(table(["setting", "value", "from"], rows))


def _find_misspelt() -> None:
    """Variables that nothing reads: one that is nearly a setting is an error, another may belong to somebody else."""
    renames = []
    for name, meant in options.misspelt().items():
        if meant:
            _show("FAIL", "setting", f"{name} is not a setting; do you mean {meant}?")
            renames.append(f"{name} to {meant}")
        else:
            _show("??", "setting", f"{name} is not read by this package")
    if renames:
        failures.fail(f"Rename {', '.join(renames)}.", failures.USAGE)


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

    address, is_local = urlsplit(settings.base_url), needs_no_proxy(settings.base_url)
    proxy = getproxies().get(address.scheme) or getproxies().get("all")
    if proxy and not is_local and not proxy_bypass(str(address.hostname)):
        name = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname
        _show("ok", "proxy", f"{name}, which the settings of this machine name")
    http_client = make_pool(is_async=False, base_url=settings.base_url)
    http_client.event_hooks = {"response": [look]}
    started = time.monotonic()
    try:
        return _fetch(settings.model_copy(update={"api_key": None}), http_client=http_client)
    except openai.AuthenticationError:
        return []  # Some servers want a key for the list too; whether they take ours comes next.
    except openai.APIError as error:
        _failed("HTTP", error)


def _fetch(settings: openai.Settings, **arguments: Any) -> list[openai.ChatModel]:
    return fetch(settings, max_retries=0, timeout=settings.timeout or _SECONDS, **arguments)


def _find_chat(settings: openai.Settings) -> None:
    """Whether chat completions are there: a body without a model and messages is refused, and costs nothing."""
    from openai.types.chat import ChatCompletion

    limits: Any = {"max_retries": 0, "timeout": settings.timeout or _SECONDS}
    try:
        with openai.OpenAI.from_settings(settings, **limits) as client:
            client.post("/chat/completions", body={}, cast_to=ChatCompletion)
    except openai.AuthenticationError:
        raise
    except openai.APIError as error:
        status = getattr(error, "status_code", 500)
        if status in _HAS_NO_CHAT and error.code != "12300":
            advice = f"Give {ENV_PREFIX}BASE_URL a server that has chat completions."
            _bad("chat", failures.explain(error)[0], advice, failures.SERVICE)
        if status not in _REFUSES_AN_EMPTY_BODY:
            _failed("chat", error)
    _show("ok", "chat", "completions are there")


def _where_it_belongs(settings: openai.Settings, both_sites: bool) -> str:
    """What to do with a refused key."""
    other = _OTHER_SITE.get(settings.base_url)
    if other is None:
        return f"{_KEY}."
    address = site_base_url(other)
    if not both_sites:
        return f"{_KEY}; `check --both-sites` sends the key to {address} too, to see if it is from there."
    try:
        _fetch(openai.Settings(site=other, api_key=settings.api_key))  # type: ignore[arg-type]
    except openai.APIError as error:
        return f"{_KEY}; {address} refuses it too: {failures.explain(error)[0]}"
    return f"The key is from the other site: set {ENV_PREFIX}SITE={other}."
