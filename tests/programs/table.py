"""The programs: what to install for each, and how a user of it asks."""

from __future__ import annotations

from dataclasses import dataclass, field

SAID = "no model read your message. You said:"
WORDS = {
    "glm-5.2": SAID,
    "fail-12001": "Insufficient credits",
    "fail-401": "Unauthorized",
    "fail-once-10003": SAID,
    "fail-stream-error": "the model stopped answering",
}
"""What a user is to see of each model; a rate limit passes when a program asks again."""
FAILING = list(WORDS)[1:]


@dataclass(frozen=True)
class Program:
    """A program in an environment of its own, whose folder stands for `{home}` in commands and variables."""

    name: str
    packages: str
    """From PyPI, or from npm if `is_npm`; the first is the program itself."""
    ask: str
    """The command that asks `{model}`, with `{how}` for an answer as a whole and for a stream."""
    how: tuple[str, str] = ("whole", "stream")
    models: str = ""
    """The command that lists the models, if it has one that asks for them."""
    is_npm: bool = False
    files: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


_LANGCHAIN = """
import sys
from langchain_openai import ChatOpenAI

_, how, name = sys.argv
if how == "whole":
    print(ChatOpenAI(model=name).invoke("Hi").content)
else:
    for part in ChatOpenAI(model=name).stream("Hi"):
        print(part.content, end="", flush=True)
"""
_OPENAI_NODE = """
import OpenAI from "openai";

const [, , how, model] = process.argv;
const client = new OpenAI();
const messages = [{ role: "user", content: "Hi" }];
if (how === "models") for await (const each of client.models.list()) console.log(each.id);
else if (how === "whole")
  console.log((await client.chat.completions.create({ model, messages })).choices[0].message.content);
else
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
    process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
"""
_VERCEL = """
import { generateText, streamText } from "ai";
import { openai } from "@ai-sdk/openai";

const [, , how, name] = process.argv;
const question = { model: openai.chat(name), prompt: "Hi" };
if (how === "whole") console.log((await generateText(question)).text);
else for await (const text of streamText(question).textStream) process.stdout.write(text);
"""

PROGRAMS = [
    Program(
        "openai 1.x, its command",
        "openai<2",
        "{home}/bin/openai api chat.completions.create -m {model} -g user Hi {how}",
        how=("", "--stream"),
        models="{home}/bin/openai api models.list",
    ),
    Program(
        "llm + `extra-openai-models.yaml`",
        "llm",
        "{home}/bin/llm -m {model} Hi {how}",
        how=("--no-stream", ""),
        # It takes only models that it knows of.
        files={"extra-openai-models.yaml": "".join(f"- model_id: {m}\n  model_name: {m}\n" for m in WORDS)},
        variables={"LLM_USER_PATH": "{home}"},
    ),
    Program(
        "shell-gpt + `click`",
        "shell-gpt click",
        "env DISABLE_STREAMING={how} {home}/bin/sgpt --model {model} --no-cache --no-md Hi",
        how=("true", "false"),
    ),
    Program(
        "gptme + `GPTME_OPENAI_RESPONSES_API=false`",
        "gptme",
        "{home}/bin/gptme --non-interactive -t none -m openai/{model} {how} Hi",
        how=("--no-stream", ""),
        variables={"GPTME_OPENAI_RESPONSES_API": "false"},
    ),
    Program(
        "langchain-openai",
        "langchain-openai",
        "{home}/bin/python {home}/program.py {how} {model}",
        files={"program.py": _LANGCHAIN},
    ),
    Program(
        "Node's openai",
        "openai",
        "node {home}/program.mjs {how} {model}",
        models="node {home}/program.mjs models",
        is_npm=True,
        files={"program.mjs": _OPENAI_NODE},
    ),
    Program(
        "Vercel AI SDK + `openai.chat(...)`",
        "ai @ai-sdk/openai",
        "node {home}/program.mjs {how} {model}",
        is_npm=True,
        files={"program.mjs": _VERCEL},
    ),
]
