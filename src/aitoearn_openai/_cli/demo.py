"""`demo`: show in a few seconds what the package does."""

from __future__ import annotations

import os
import re
from typing import Any

import aitoearn_openai as openai

from .._sites import ENV_PREFIX, SITES
from .screen import console, show, table

_NEXT = f"""\
Without a key: run `aitoearn-openai sandbox`, and set {ENV_PREFIX}SITE=sandbox in another terminal.
With a key: create one at {SITES["cn"]} (Settings, then API Key), and set {ENV_PREFIX}API_KEY.
For a key from {SITES["ai"]}, set {ENV_PREFIX}SITE=ai too. Then:

  aitoearn-openai check   tests settings, network and key; costs no credits
  aitoearn-openai chat    holds a conversation
  aitoearn-openai --help  shows the other commands

In your program: from aitoearn_openai import OpenAI"""


def demo() -> None:
    """Show what the package does, against a sandbox that it starts: no key, no network."""
    from openai import DefaultHttpxClient, OpenAI

    from .conversation import Conversation

    for name in list(os.environ):
        if name.startswith((ENV_PREFIX, "OPENAI_")):
            del os.environ[name]  # The demo has settings of its own, and needs nobody's key.
    with openai.sandbox.serve() as site, openai.OpenAI.from_settings(site.settings) as client:
        console.print("A sandbox runs on this machine. It imitates AiToEarn; no model answers.\n")
        show("[bold]1. Failures: what the plain SDK returns, and what this package raises[/]")
        direct = DefaultHttpxClient(trust_env=False)  # No proxy could reach the sandbox.
        plain = OpenAI(base_url=site.base_url, api_key=site.api_key, max_retries=0, http_client=direct)
        rows = []
        with plain:
            for model, stream in (("fail-12001", False), ("fail-html", True), ("fail-stream-error", True)):
                outcomes = [_outcome(each, model, stream) for each in (plain, client)]
                rows.append([f"{model} {'stream=True' if stream else ''}", *outcomes])
        console.print(table(["model=", "openai.OpenAI", "aitoearn_openai.OpenAI"], rows, lines=True))
        show("[bold]2. Retries: the service fails once, and the SDK tries again[/]")
        answer = client.chat.completions.with_raw_response.create(
            model="fail-once-502", messages=[{"role": "user", "content": "Hi"}]
        )
        show(f"[dim]{answer.retries_taken} retry, then an answer with status {answer.status_code}[/]\n")
        show("[bold]3. client.models.list() has the models, with their prices[/]")
        models = list(client.models.list())
        found = client.models.retrieve("DeepSeek V4")
        cost = found.credits(prompt_tokens=1000, completion_tokens=500)
        show(f"[dim]{len(models)} models; 1,000 tokens in and 500 out of {found.id} cost {cost} credits[/]")
        show(f'\n[bold]4. client.models.retrieve("DeepSeek V4"): {found.id} streams its answer[/]')
        Conversation(client, found, None, [], None).ask("Hello!")
    show("\n[bold]5. Next[/]")
    console.print(_NEXT)


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
        message = re.sub(r", request id \w+", "", str(error)).partition(". ")[0]
        return f"{f'{chunks} chunks, then ' if chunks else ''}{type(error).__name__}: {message}"
    return f"no error, {chunks} chunks"
