"""The examples: each program runs, and shows what it promises."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openai.resources.chat import Completions

from aitoearn_openai import sandbox
from commands import SAID, run_script
from conftest import Reply, ScriptedServer

FOLDER = Path(__file__).parent.parent / "examples"
OTHERS = "ray_batch.py"
"""Has a test of its own, in tests/scaling."""


def run(name: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The example with these settings."""
    given = {f"AITOEARN_{field.upper()}": value for field, value in {"site": "sandbox", **settings}.items()}
    return run_script(FOLDER / name, *arguments, **given)


def shown(site: sandbox.Sandbox, name: str, *arguments: str) -> str:
    """What an example that succeeds prints, with nothing to complain of."""
    done = run(name, *arguments, base_url=site.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("command", "out", "errors"),
    [
        ("first_call.py", SAID + r".*\ntokens: \d+ in, \d+ out\ncredits by the list: 0\.\d+\n", ""),
        ("streaming.py", SAID + r".*\ntokens: \d+\n", ""),
        ("streaming.py deepseek-v4", SAID + r".*\ntokens: \d+\n", "The sandbox imitates .*; nothing was thought.\n\n"),
        ("async_calls.py", "".join(rf"(.+)\n  {SAID}\{number}\n" for number in (1, 2, 3)), ""),
        ("pick_a_model.py smell", ".*\n", ""),
        ("pick_an_image_model.py", r"(.*\n)+The cheapest: seedream-5\n", ""),
        ("pick_an_image_model.py 2048x2048", r"(.*\n)+The cheapest: gpt-image-2\n", ""),
        ("pick_an_image_model.py 1x1", ".*\n", ""),
        # An openai that has it in `client.beta` alone cannot run this.
        *[("structured_output.py", "Recipe sandbox\nminutes: 0 ingredients: 0\n", "")] * hasattr(Completions, "parse"),
    ],
)  # fmt: skip
def test_examples_print_what_they_promise(site: sandbox.Sandbox, command: str, out: str, errors: str) -> None:
    """Answers, tokens, costs, the cheapest, objects; what a model thought stands apart from its answer."""
    done = run(*command.split(), base_url=site.base_url)

    assert done.returncode == 0
    assert re.fullmatch(out, done.stdout)
    assert re.fullmatch(errors, done.stderr)


def test_the_cheapest_model_for_a_need_is_picked(site: sandbox.Sandbox) -> None:
    """By the prices in the list; models without a price are left out."""
    _, *offers, picked = shown(site, "pick_a_model.py", "image").splitlines()
    prices = [float(offer.split()[0]) for offer in offers]

    assert prices == sorted(prices)
    assert picked == f"The cheapest: {offers[0].split()[1]}"
    assert not re.search("glm-5.2|llama-5-local", str(offers))


def test_a_tool_is_called_and_its_result_is_sent_back(server: ScriptedServer, site: sandbox.Sandbox) -> None:
    """With the call that it answers, and nothing that the service did not ask for."""
    asks, says = shown(site, "tools.py").splitlines()

    assert asks == "the model asks for the weather in sandbox"
    assert says.startswith(f"the model says: {SAID}")

    function = {"name": "GetWeather", "arguments": '{"city": "Paris"}'}
    call = {"id": "c1", "type": "function", "function": function}
    asks_for = {"role": "assistant", "content": None, "name": None, "tool_calls": [call]}
    server.answer(*(Reply({"choices": [{"message": each}]}) for each in (asks_for, {"content": "Sun."})))
    done = run("tools.py", base_url=server.base_url)

    assert done.stdout.splitlines() == ["the model asks for the weather in Paris", "the model says: Sun."]
    _, asked, answered = json.loads(server.requests[-1].body)["messages"]
    assert asked == {"role": "assistant", "tool_calls": [call]}
    assert (answered["role"], answered["tool_call_id"]) == ("tool", "c1")


def test_a_picture_is_saved_as_asked(server: ScriptedServer, site: sandbox.Sandbox, tmp_path: Path) -> None:
    """As a file that is an image; of one that is only an address, that is told."""
    out = shown(site, "images.py", "gpt-image-2", str(tmp_path))
    (path,) = tmp_path.iterdir()

    assert out == f"saved as {path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")

    server.answer(Reply({"created": 0, "data": [{"url": "https://example.com/kite.png"}]}))
    done = run("images.py", "m", str(tmp_path), base_url=server.base_url)
    assert done.stdout == "the picture is at https://example.com/kite.png\n"


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        ("glm-5.2", {"site": "cn", "base_url": ""}, "There is no AiToEarn key."),
        ("glm-5.2", {"api_key": "fail-401"}, "The key was refused. Error code: 401"),
        ("fail-12001", {}, "The credits are used up"),
        ("fail-10003", {}, "Too many requests. Seconds to wait: 1\n"),
        ("fail-429", {}, "Too many requests. Seconds to wait: not told"),
        ("no-such-model", {}, "Error code: 404 - Model not found: no-such-model"),
        ("fail-12003", {}, "The service failed: 403, code 12003, request id "),
        ("fail-html", {}, "http://127.0.0.1:"),
        ("glm-5.2", {"base_url": "http://127.0.0.1:1"}, "The service could not be reached: "),
        ("slow-first-byte", {"timeout": "0.3"}, "The service could not be reached: "),
        ("glm-5.2", {"timeout": "soon"}, "AITOEARN_TIMEOUT: "),
    ],
)
def test_each_failure_is_told_apart(site: sandbox.Sandbox, model: str, settings: Any, told: str) -> None:
    """In one line, with an exit code that says that it failed; where nothing fails, there is an answer."""
    done = run("failures.py", model, **{"base_url": site.base_url, "max_retries": "0", **settings})

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert model != "fail-12001" or shown(site, "failures.py") == f"{SAID}你好\n"


def test_no_example_is_untested() -> None:
    tested = re.findall(r'"(\w+\.py)', Path(__file__).read_text("utf-8"))

    assert {path.name for path in FOLDER.glob("*.py")} == {*tested}
