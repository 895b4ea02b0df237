"""`models`, as people and scripts use it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.cells import cell_len

from aitoearn_openai.sandbox._catalogue import ENTRIES
from commands import KEY, run
from conftest import Reply, ScriptedServer

pytestmark = pytest.mark.usefixtures("sandboxed")


def shown(*arguments: str, columns: int = 80) -> str:
    """What a terminal of so many columns shows: a slash between lines, and one blank for many."""
    done = run("models", *arguments, COLUMNS=str(columns), LINES="25", TTY_COMPATIBLE="1", TERM="dumb")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(cell_len(line) for line in lines if not line.endswith(".")) <= columns
    return "/".join(" ".join(line.split()) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "columns", "rows"),
    [
        ("", 80, "/gpt-5.2 text image text 0.16 1.3 seedance Sale/gpt-5.2-mini text image text 0.5/call seedance/"),
        ("", 80, "/gemini-3.1-pro-preview text image text 0.2-0.4 1.2-1.8 general/audio/video/"),
        ("", 80, "/bare-local/in, out: credits per 1,000 tokens of text, a range where long calls cost more;/balance: "),
        ("--channel OpenAI", 41, "gpt-5.2/label GPT-5.2/channel openai/takes text image/gives text/in 0.16/out 1.3/"),
        ("gemini-3.1-pro-preview", 80, "/credits per 1,000 tokens up to 200,000 in no limit told/"),
        ("claude SONNET 5", 80, "claude-sonnet-5/label Claude Sonnet 5/channel anthropic/takes text image/gives text/"),
        ("sonnet", 80, "/balance seedance/scenes web, comment, draft-generation/"),
        ("claude-sonnet-5", 80, "/in, cache write 5m 0.375 0.75/in, cache write 1h 0.6 1.2/"),
        ("claude-sonnet-5", 80, "/A call of 1,000 tokens in and 500 out: 1.05 seedance credits."),
        ("bare-local", 80, "bare-local/A call of 1,000 tokens in and 500 out: no clear price in the list."),
        ("--images", 80, "/gpt-image-2 generate 27 1-4 seedance Sale/"),
        ("--images", 30, "gpt-image-2/label GPT Image 2/images. generate/sizes 27/"),
        ("--images gpt-image-2", 80, "/quality auto, high, medium, low/"),
        ("--images gpt-image-2", 80, "/images. edit/sizes 27/credits 1-4/balance seedance/tags Sale/takes up to 14 images/"),
        ("--images seedream-5", 80, "/style natural, vivid/"),
        ("--images bare-painter", 80, "bare-painter/images. generate"),
    ],
)  # fmt: skip
def test_models_and_their_prices_are_shown_on_any_width(arguments: str, columns: int, rows: str) -> None:
    """All or one, those that talk and those that draw: a table, or lines where it has no room."""
    given = [arguments] if arguments == "claude SONNET 5" else arguments.split()

    assert rows in shown(*given, columns=columns)


def test_a_program_reads_a_line_a_model() -> None:
    """Its fields are separated by tabs, and always the same; no header stands before them."""
    chat, drawing = (run("models", *options).stdout.splitlines() for options in ([], ["--images"]))

    fields = ["gpt-5.2", "GPT-5.2", "openai", "text image", "text", "0.16", "1.3", "seedance", "Sale"]
    assert chat[3].split("\t") == fields
    assert {line.count("\t") for line in chat} == {8}
    assert drawing[0].split("\t")[:5] == ["gpt-image-2", "GPT Image 2", "generate", "27", "1-4"]


def test_the_list_needs_no_key_and_sends_none(scripted: ScriptedServer) -> None:
    """With a key it goes along, as a server may show more to its holder."""
    scripted.lists({"name": "glm-5.2"})
    for key in ("", KEY):
        assert run("models", AITOEARN_SITE="cn", AITOEARN_API_KEY=key).returncode == 0

    without, with_key = (request.headers for request in scripted.requests)
    assert not {"authorization", "x-api-key"} & set(without)
    assert with_key["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("GPT --input text", "gpt-5.2 gpt-5.2-mini gpt-image-2"),
        ("--input audio --input video", "gemini-3.1-pro-preview"),
        ("--channel ANTHROPIC --input Text --output TEXT", "claude-sonnet-5"),
    ],
)
def test_filters_narrow_the_list(arguments: str, names: str) -> None:
    lines = run("models", *arguments.split()).stdout.splitlines()

    assert [line.partition("\t")[0] for line in lines] == names.split()


def test_an_empty_list_is_told(scripted: ScriptedServer) -> None:
    scripted.lists()
    refused = run("models")

    assert (refused.returncode, refused.stderr) == (1, "aitoearn-openai: the list is empty\n")


def test_json_has_all_that_the_service_says() -> None:
    """Of one model an object, of more a list, with the service's own names and the fields that nobody knew."""
    one, drawing, all_of_them = (
        json.loads(run("models", *arguments.split(), "--json").stdout)
        for arguments in ("deepseek-r2-local", "--images gpt-image-2", "")
    )

    assert one["mainTag"] == {"en-US": "Local", "zh-CN": "本地"}
    assert [drawing[call][0]["name"] for call in ("generate", "edit")] == ["gpt-image-2"] * 2
    assert len(all_of_them) == len(ENTRIES)


LONG = {
    "name": "gemini-3.1-flash-lite-image",
    "label": "通义千问",
    "channel": "阿里云",
    "inputModalities": ["text", "image", "audio", "video"],
    "outputModalities": ["text"],
    "tags": ["[red]限时优惠[/red]", {"zh-CN": "特价"}],
    "pricing": {"tiers": [{"maxInputTokens": 1000, "input": {"text": "0.0825"}, "output": {"text": "0.165"}},
                          {"input": {"text": "0.315"}, "output": {"text": "2.3625"}}]},
}  # fmt: skip


@pytest.mark.parametrize("columns", [60, 120])
def test_no_width_cuts_a_price(scripted: ScriptedServer, columns: int) -> None:
    """Each character takes its own width, and nothing of the service's is read as a style."""
    scripted.lists(LONG, {**LONG, "name": "short", "tags": ["Limited time"]})
    told = shown(columns=columns)

    words = "0.0825-0.315", "0.165-2.3625", "特价", "Limited", "[red]"
    assert [each for each in words if each not in told] == []


@pytest.mark.parametrize(
    ("arguments", "entries", "words"),
    [
        ("m", [{"fixedImagePricing": [{"resolution": "1K"}, {"price": "4.0"}]}], "m/An image of any size costs 4 credits./"),
        ("m", [{"pricing": {"price": "1"}, "description": "Fast"}], "about Fast/A call of 1,000 tokens in and 500 out: 1 credit."),
        ("m", [{"pricing": {"price": "1", "tiers": [{}]}}], "no clear price in the list"),
        # A size without a price can be asked for; a price without a size is that of any.
        ("--images m", [{"sizes": ["1x1", "2x2"], "pricing": [{"size": "1x1", "price": 1}, {"size": "3x3"}]}, {"pricing": [{"price": 2}]}],
         "/no price 3x3 2x2//m/"),
    ],
)  # fmt: skip
def test_odd_prices_are_shown_as_far_as_they_make_sense(
    scripted: ScriptedServer, arguments: str, entries: list[dict[str, Any]], words: str
) -> None:
    scripted.answer(*(Reply({"code": 0, "data": [{"name": "m", **entry}]}) for entry in entries))

    assert words in shown(*arguments.split())
