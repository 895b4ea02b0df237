"""`demo`: show in a few seconds what the package does."""

from __future__ import annotations

import os
import re
from typing import Any

import openai

from .. import OpenAI, Settings, sandbox
from .._models import Pricing
from .._settings import ENV_PREFIX, SITES
from .screen import console, escape, show, table


def demo() -> None:
    """Show what the package does, against a sandbox that it starts: no key, no network."""
    for name in list(os.environ):
        if name.startswith((ENV_PREFIX, "OPENAI_")):
            del os.environ[name]  # The demo shows its own settings, and needs nobody's key.
    with sandbox.serve() as site:
        os.environ["AITOEARN_SITE"] = "sandbox"
        os.environ["AITOEARN_BASE_URL"] = site.base_url
        console.print("A sandbox runs on this machine. It imitates AiToEarn; no model answers.\n")
        _show_settings(Settings())
        with OpenAI() as client:
            _show_models(client)
            _show_stream(client)
        _show_failures(site)
    _show_next_steps()


def _heading(text: str) -> None:
    show(f"[bold]{escape(text)}[/]")


def _show_settings(settings: Settings) -> None:
    _heading("1. OpenAI() takes its settings from the environment")
    shown = table("setting", "value", "from")
    for field in Settings.model_fields:
        value = getattr(settings, field)
        variable = f"{ENV_PREFIX}{field.upper()}"
        source = variable if variable in os.environ else "the site" if field == "api_key" else "default"
        shown.add_row(field, "-" if value is None else str(value), source)
    console.print(shown)


def _show_models(client: OpenAI) -> None:
    _heading("2. client.models.list() has the models, with what they take and cost")
    shown = table("model=", "label", "takes", "credits per 1,000 tokens")
    for column in (0, 3):
        shown.columns[column].no_wrap = True
    for model in client.models.list():
        shown.add_row(model.id, model.label, " ".join(model.input_modalities), _price(model.pricing))
    console.print(shown)


def _price(pricing: Pricing | None) -> str:
    if pricing and pricing.price is not None:
        return f"{pricing.price} per call"
    tier = pricing.tier(0) if pricing else None
    return f"{tier.input.text} in, {tier.output.text} out" if tier else ""


def _show_stream(client: OpenAI) -> None:
    model = client.models.retrieve("DeepSeek V4")
    _heading(f'3. client.models.retrieve("DeepSeek V4"): {model.id} streams its answer')
    thinking = False
    for chunk in client.chat.completions.create(
        model=model.id,
        messages=[{"role": "user", "content": "你好！"}],
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
                f"{chunk.usage.total_tokens} tokens, about {model.credits(chunk.usage)} credits by the list"
            )
            console.print(f"\n[dim]{cost}[/]\n")


def _show_failures(site: sandbox.Sandbox) -> None:
    _heading("4. Failures, as the plain SDK shows them and as this package does")
    shown = table("model=", "openai.OpenAI", "aitoearn_openai.OpenAI", lines=True)
    shown.columns[0].no_wrap = True
    direct = openai.DefaultHttpxClient(trust_env=False)  # No proxy could reach the sandbox.
    plain = openai.OpenAI(base_url=site.base_url, api_key=site.api_key, max_retries=0, http_client=direct)
    ours = OpenAI(max_retries=0)
    with plain, ours:
        for model, stream in (("fail-12001", False), ("fail-html", True), ("fail-stream-error", True)):
            call = f"{model}\n[dim]stream=True[/]" if stream else model
            shown.add_row(call, *(escape(_outcome(client, model, stream)) for client in (plain, ours)))
    console.print(shown)


def _outcome(client: openai.OpenAI, model: str, stream: bool) -> str:
    """What a caller gets to see."""
    chunks = 0
    try:
        answer: Any = client.chat.completions.create(
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


def _show_next_steps() -> None:
    _heading("5. Next, with a key")
    console.print(
        f"Create a key at {SITES['cn']} (Settings, then API Key); set AITOEARN_API_KEY.\n"
        f"For a key from {SITES['ai']}, set AITOEARN_SITE=ai too. Then:\n"
    )
    for command, purpose in (
        ("check", "tests settings, network and key; costs no credits"),
        ("chat", "has a conversation"),
        ("--help", "shows the other commands"),
    ):
        console.print(f"  aitoearn-openai {command:6}  [dim]{purpose}[/]")
    console.print("\nIn your program: [bold]from aitoearn_openai import OpenAI[/]")
