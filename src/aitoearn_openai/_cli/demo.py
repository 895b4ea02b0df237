"""`demo`: show in a few seconds what the package does."""

from __future__ import annotations

import os
import re
from typing import Any

import aitoearn_openai as openai

from .._sites import ENV_PREFIX, SITES
from .models import prices
from .screen import console, escape, show, table


def demo() -> None:
    """Show what the package does, against a sandbox that it starts: no key, no network."""
    for name in list(os.environ):
        if name.startswith((ENV_PREFIX, "OPENAI_")):
            del os.environ[name]  # The demo shows its own settings, and needs nobody's key.
    with openai.sandbox.serve() as site:
        os.environ[f"{ENV_PREFIX}SITE"] = "sandbox"
        os.environ[f"{ENV_PREFIX}BASE_URL"] = site.base_url
        console.print("A sandbox runs on this machine. It imitates AiToEarn; no model answers.\n")
        _show_failures(site)
        with openai.OpenAI() as client:
            _show_retry(client)
            _show_models(client)
            _show_stream(client)
    _show_next_steps()


def _heading(text: str) -> None:
    show(f"[bold]{escape(text)}[/]")


def _show_failures(site: openai.sandbox.Sandbox) -> None:
    from openai import DefaultHttpxClient, OpenAI

    _heading("1. Failures: what the plain SDK returns, and what this package raises")
    shown = table("model=", "openai.OpenAI", "aitoearn_openai.OpenAI", lines=True)
    shown.columns[0].no_wrap = True
    direct = DefaultHttpxClient(trust_env=False)  # No proxy could reach the sandbox.
    plain = OpenAI(base_url=site.base_url, api_key=site.api_key, max_retries=0, http_client=direct)
    with plain, openai.OpenAI(max_retries=0) as ours:
        for model, stream in (("fail-12001", False), ("fail-html", True), ("fail-stream-error", True)):
            call = f"{model}\n[dim]stream=True[/]" if stream else model
            shown.add_row(call, *(escape(_outcome(client, model, stream)) for client in (plain, ours)))
    console.print(shown)


def _outcome(client: Any, model: str, stream: bool) -> str:
    """What a caller gets to see."""
    chunks = 0
    try:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=stream
        )
        if not stream:
            return f"no error, choices={answer.choices}"
        for _ in answer:
            chunks += 1
    except (openai.OpenAIError, ValueError) as error:
        message = re.sub(r", request id \w+", "", str(error))
        return f"{f'{chunks} chunks, then ' if chunks else ''}{type(error).__name__}: {message}"
    return f"no error, {chunks} chunks"


def _show_retry(client: openai.OpenAI) -> None:
    _heading("2. Retries: the service fails once, and the SDK tries again")
    answer = client.chat.completions.with_raw_response.create(
        model="fail-once-502", messages=[{"role": "user", "content": "Hi"}]
    )
    show(f"[dim]{answer.retries_taken} retry, then an answer with status {answer.status_code}[/]\n")


def _show_models(client: openai.OpenAI) -> None:
    _heading("3. client.models.list() has the models, with their input and prices")
    shown = table("model=", "label", "input", "credits per 1,000 tokens")
    for column in (0, 3):
        shown.columns[column].no_wrap = True
    for model in client.models.list():
        price_in, price_out = prices(model.pricing)
        price = f"{price_in} in, {price_out} out" if price_out else price_in
        shown.add_row(model.id, model.label, " ".join(model.input_modalities), price)
    console.print(shown)


def _show_stream(client: openai.OpenAI) -> None:
    model = client.models.retrieve("DeepSeek V4")
    _heading(f'4. client.models.retrieve("DeepSeek V4"): {model.id} streams its answer')
    thinking = False
    for chunk in client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": "Hello!"}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in chunk.choices:
            thought = getattr(choice.delta, "reasoning_content", None)
            if thinking and not thought:
                console.print()
            thinking = bool(thought)
            text = thought or choice.delta.content or ""
            console.print(text, style="dim" if thinking else None, end="", markup=False, soft_wrap=True)
        if chunk.usage:
            cost = (
                f"{chunk.usage.total_tokens} tokens, about {model.credits(chunk.usage)} credits (list price)"
            )
            console.print(f"\n[dim]{cost}[/]\n")


def _show_next_steps() -> None:
    _heading("5. Next")
    console.print(
        f"Without a key: run `aitoearn-openai sandbox`, and set {ENV_PREFIX}SITE=sandbox in another terminal.\n"
        f"With a key: create one at {SITES['cn']} (Settings, then API Key), and set {ENV_PREFIX}API_KEY.\n"
        f"For a key from {SITES['ai']}, set {ENV_PREFIX}SITE=ai too. Then:\n"
    )
    for command, purpose in (
        ("check", "tests settings, network and key; costs no credits"),
        ("chat", "holds a conversation"),
        ("--help", "shows the other commands"),
    ):
        console.print(f"  aitoearn-openai {command:6}  [dim]{purpose}[/]")
    console.print("\nIn your program: [bold]from aitoearn_openai import OpenAI[/]")
