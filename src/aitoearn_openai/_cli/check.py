"""`check`: what works and what does not, from the settings to the key, and what to do next."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import typer

import aitoearn_openai as openai

from .._sites import API_PATH, ENV_PREFIX, SANDBOX_KEY, SITES, needs_no_proxy, site_base_url
from .._wording import causes
from . import failures, options
from .lists import fetch, matching
from .screen import console, escape, show, table

_SECONDS = 30.0
_OTHER_SITE = {"cn": "ai", "ai": "cn"}
_REFUSES_AN_EMPTY_BODY = (400, 404, 422)
_LONG_KEY = 16
"""Only of such a key the end is shown: of a shorter one, too little would stay hidden."""


def check(
    both_sites: Annotated[
        bool,
        typer.Option(
            "--both-sites",
            help="Send a refused key to the other official site, to see if it is accepted there.",
        ),
    ] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Test the settings, the network and the key. Costs no credits.

    The exit code is 0 if all is well, 2 for a wrong setting, 3 for the key, 4 for the network, 5 for the service.
    """
    from .._pools import make_pool

    settings = options.resolve(site, base_url)
    _show_settings(settings, {"site": site, "base_url": base_url})
    _find_misspelt()
    try:
        make_pool(is_async=True, backend=settings.http_backend, base_url=SITES["sandbox"])
    except openai.OpenAIError as error:
        _bad("setting", str(error), f"Or unset {ENV_PREFIX}HTTP_BACKEND.", failures.USAGE)
    _find_host(settings)
    offered = _reach(settings)
    if not settings.api_key:
        from .._settings import missing_key

        _bad("key", "missing", missing_key(settings), failures.KEY)
    offered = _try_key(settings, both_sites) or offered
    _find_chat(settings, both_sites)
    _good("models", f"{len(offered)} in the list")
    if settings.model:
        found = matching(offered, settings.model)
        if isinstance(found, str):
            _bad("model", found, f"Correct {ENV_PREFIX}MODEL.", failures.USAGE)
        _good("model", f"{found.id} is in the list")
    show("\nAll is well. Next: aitoearn-openai chat Hello")


def _show(style: str, mark: str, what: str, text: str) -> None:
    show(f"[{style}]{mark:4}[/]  {what:7} {escape(text)}")


def _good(what: str, text: str) -> None:
    _show("green", "ok", what, text)


def _doubtful(what: str, text: str) -> None:
    _show("yellow", "??", what, text)


def _bad(what: str, text: str, next_step: str, code: int) -> NoReturn:
    _show("red", "FAIL", what, text)
    failures.fail(next_step, code)


def _show_settings(settings: openai.Settings, given: dict[str, str | None]) -> None:
    from .._settings import env_file_source

    variables = {name.upper() for name, value in os.environ.items() if value}
    file = os.environ.get(f"{ENV_PREFIX}ENV_FILE")
    in_file = env_file_source(openai.Settings, file)() if file else {}
    shown = table("setting", "value", "from")
    for field in openai.Settings.model_fields:
        value = getattr(settings, field)
        if given.get(field):
            source = f"--{field.replace('_', '-')}"
        elif (field == "base_url" and given["site"]) or (
            field == "api_key" and value and value.get_secret_value() == SANDBOX_KEY
        ):
            source = "the site"
        elif f"{ENV_PREFIX}{field.upper()}" in variables:
            source = f"{ENV_PREFIX}{field.upper()}"
        elif in_file.get(field):
            source = str(file)
        else:
            source = {"base_url": "the site", "timeout": "the SDK's", "max_retries": "the SDK's"}.get(
                field, "default"
            )
        text = (
            "-" if value is None else _masked(value.get_secret_value()) if field == "api_key" else str(value)
        )
        shown.add_row(field, escape(text), escape(source))
    console.print(shown)


def _find_misspelt() -> None:
    """Variables that nothing reads: one that is nearly a setting is an error, another may belong to somebody else."""
    renames = []
    for name, meant in options.misspelt().items():
        if meant:
            _show("red", "FAIL", "setting", f"{name} is not a setting; do you mean {meant}?")
            renames.append(f"{name} to {meant}")
        else:
            _doubtful("setting", f"{name} is not read by this package")
    if renames:
        failures.fail(f"Rename {', '.join(renames)}.", failures.USAGE)


def _masked(key: str) -> str:
    end = key[-4:] if len(key) >= _LONG_KEY else ""
    return f"********{end} ({len(key)} characters)"


def _find_host(settings: openai.Settings) -> None:
    address = urlsplit(settings.base_url)
    host = str(address.hostname)
    proxies = {} if needs_no_proxy(settings.base_url) else getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        name = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname
        _good("DNS", f"left to the proxy {name}, which the settings of this machine name")
        return
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        _bad(
            "DNS", f"{host}: {error}", "Look for a typo in the address, and at the network.", failures.NETWORK
        )
    _good("DNS", f"{host} is {found[0][4][0]}")


def _reach(settings: openai.Settings) -> list[openai.ChatModel]:
    """The list as anybody gets it; on the way, what the connection is like."""
    from .._pools import make_pool

    seen: dict[str, str] = {}

    def look(response: Any) -> None:
        tls = response.extensions["network_stream"].get_extra_info("ssl_object")
        seen["TLS"] = (
            f"{tls.version()}, certificate until {tls.getpeercert()['notAfter']}"
            if tls
            else "not used: plain http"
        )
        seen["HTTP"] = f"{response.http_version}, status {response.status_code}"

    started = time.monotonic()
    anybody = settings.model_copy(update={"api_key": None})
    offered: list[openai.ChatModel] = []
    http_client = make_pool(is_async=False, base_url=settings.base_url)
    http_client.event_hooks = {"response": [look]}
    try:
        offered = _fetch(anybody, http_client=http_client)
    except openai.APIConnectionError as error:
        tls = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), None)
        if tls:
            _bad(
                "TLS",
                str(tls),
                "Look at proxies, at the clock of this machine, and whether the server speaks https.",
                failures.NETWORK,
            )
        text, advice, code = failures.explain(error)
        if advice == failures.LOOK:
            advice = "Look at the address, the network and proxies."
        _bad("HTTP", text, advice, code)
    except openai.AuthenticationError:
        pass  # Some servers want a key for the list too; whether they take ours comes next.
    except openai.APIError as error:
        text, advice, code = failures.explain(error)
        if advice == failures.LOOK:
            advice = "Look at the address; if it is right, try again later."
        _bad("HTTP", text, advice, code)
    if settings.base_url.startswith("http:") and not needs_no_proxy(settings.base_url):
        _doubtful(
            "TLS",
            f"{seen.pop('TLS', 'not used')}: others on the way can read the key and the prompts; use https",
        )
    for what, text in seen.items():
        _good(what, text if what == "TLS" else f"{text}, {1000 * (time.monotonic() - started):.0f} ms")
    return offered


def _fetch(settings: openai.Settings, **arguments: Any) -> list[openai.ChatModel]:
    return fetch(settings, max_retries=0, timeout=settings.timeout or _SECONDS, **arguments)


def _try_key(settings: openai.Settings, both_sites: bool) -> list[openai.ChatModel]:
    """The list as it is with the key: a server that looks at keys refuses a wrong one here."""
    origin = settings.base_url.removesuffix(API_PATH)
    started = time.monotonic()
    try:
        offered = _fetch(settings)
    except openai.AuthenticationError:
        _bad("key", f"refused by {origin}", _where_it_belongs(settings, both_sites), failures.KEY)
    except openai.APIError as error:
        text, advice, code = failures.explain(error)
        _bad("key", text, advice, code)
    _good("key", f"accepted by {origin}, {1000 * (time.monotonic() - started):.0f} ms")
    return offered


def _find_chat(settings: openai.Settings, both_sites: bool) -> None:
    """Whether chat completions are there: a body without a model and messages is refused, and costs nothing."""
    from openai.types.chat import ChatCompletion

    try:
        with openai.OpenAI.from_settings(
            settings, max_retries=0, timeout=settings.timeout or _SECONDS
        ) as client:
            client.post("/chat/completions", body={}, cast_to=ChatCompletion)
    except openai.AuthenticationError as error:
        _bad("chat", failures.explain(error)[0], _where_it_belongs(settings, both_sites), failures.KEY)
    except openai.APIError as error:
        text, advice, code = failures.explain(error)
        status = getattr(error, "status_code", 500)
        if status in (404, 405, 410, 501) and error.code != "12300":
            _bad("chat", text, f"Give {ENV_PREFIX}BASE_URL a server that has chat completions.", code)
        if status not in _REFUSES_AN_EMPTY_BODY:
            if advice == failures.LOOK:
                advice = "Look at the address; if it is right, try again later."
            _bad("chat", text, advice, code)
    _good("chat", "completions are there")


def _where_it_belongs(settings: openai.Settings, both_sites: bool) -> str:
    """What to do with a refused key."""
    create = "Copy the key once more, or create one: Settings, then API Key"
    other = next(
        (_OTHER_SITE[site] for site in _OTHER_SITE if site_base_url(site) == settings.base_url), None
    )
    if other is None:
        return f"{create}."
    if not both_sites:
        return f"{create}; `check --both-sites` sends the key to {site_base_url(other)} too, to see if it is from there."
    try:
        _fetch(openai.Settings(site=other, api_key=settings.api_key))  # type: ignore[arg-type]
    except openai.APIError as error:
        return f"{create}; {site_base_url(other)} refuses it too: {failures.explain(error)[0]}"
    return f"The key is from the other site: set {ENV_PREFIX}SITE={other}."
