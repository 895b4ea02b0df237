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
    done = run("models", *arguments, COLUMNS=str(columns), TTY_COMPATIBLE="1", TERM="dumb")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(cell_len(line) for line in lines if not line.endswith(".")) <= columns
    return "/".join(" ".join(line.split()) for line in lines)


def listed(*entries: dict[str, Any]) -> Reply:
    return Reply({"data": list(entries), "code": 0, "message": "请求成功"})


@pytest.mark.parametrize(
    ("arguments", "columns", "rows"),
    [
        ("", 80, "/gpt-5.2 text text 0.16 1.3 seedance in 20%, Sale/image out 19%/"),
        ("", 80, "/gpt-5.2-mini text text 0.5 a call seedance 38%/image/"),
        ("", 80, "/gemini-3.1-pro-preview text text 0.2 - 0.4 1.2 - 1.8 general/image/audio/video/"),
        ("", 80, "/bare-local/in, out: credits per 1,000 tokens of text, a range where long calls cost more;/balance: "),
        ("", 126, "/gpt-5.2 openai text image text 0.16 1.3 seedance in 20%, out 19% Sale/gpt-5.2-mini openai "),
        ("", 160, "/deepseek-v4 DeepSeek V4 deepseek text text 0.03 0.045 seedance/claude-sonnet-5 "),
        ("--channel openai", 41, "gpt-5.2/label GPT-5.2/channel openai/takes text image/gives text/in 0.16/out 1.3/"),
        ("--channel openai", 41, "/in 0.5 a call/balance seedance/off 38%/gpt-image-2/"),
        ("--search bare", 41, "/bare-local/in, out"),
        ("--sort price --channel zhipu", 40, "/example 0.3/"),
        ("--sort price --channel zhipu", 80, " 0.3/in, out: "),
        ("--sort price --channel zhipu", 200, "; example: credits for a call of 1,000 tokens in and 500 out"),
        ("gemini-3.1-pro-preview", 80, "/credits per 1,000 tokens up to 200,000 in above 200,000 in/"),
        ("claude-sonnet-5", 80, "claude-sonnet-5/label Claude Sonnet 5/channel anthropic/takes text image/gives "),
        ("claude-sonnet-5", 80, "/balance seedance/scenes web, comment, draft-generation/"),
        ("claude-sonnet-5", 80, "/credits per 1,000 tokens up to 200,000 in up to 1,000,000 in/"),
        ("claude-sonnet-5", 80, "/in, cache write 5m 0.375 0.75/in, cache write 1h 0.6 1.2/"),
        ("claude-sonnet-5", 80, "/A call of 1,000 tokens in and 500 out costs 1.05 credits."),
        ("gpt-5.2", 80, "/in, text 0.16, 20% off/"),
        ("gpt-5.2-mini", 80, "/A call costs 0.5 credits, 38% off, whatever its size."),
        ("gemini-3-pro-image", 80, "/An image of 4K costs 7.5 credits./"),
        ("bare-local", 80, "bare-local/A call of 1,000 tokens in and 500 out has no price in the list."),
        ("--images", 80, "/gpt-image-2 GPT Image 2 generate edit 27 1 - 4 seedance 95% Sale/"),
        ("--images", 40, "gpt-image-2/label GPT Image 2/images. generate edit/sizes 27/"),
        ("--images gpt-image-2", 80, "/quality auto, high, medium, low/"),
        ("--images gpt-image-2", 80, "/1, 95% off 1024x1024 1024x1536 "),
        ("--images gpt-image-2", 80, "/images.edit/takes up to 14 images/"),
        ("--images seedream-5", 80, "/style natural, vivid/"),
        ("--images bare-painter", 80, "bare-painter/images.generate"),
    ],
)  # fmt: skip
def test_models_and_their_prices_are_shown_on_any_width(arguments: str, columns: int, rows: str) -> None:
    """All or one, those that talk and those that draw: a table, or lines where it has no room."""
    assert rows in shown(*arguments.split(), columns=columns)


def test_a_model_can_be_named_by_its_label() -> None:
    """In any case, or by a part of its name that fits no other."""
    assert shown("claude SONNET 5") == shown("sonnet") == shown("claude-sonnet-5")


def test_a_program_reads_a_line_a_model() -> None:
    """Its fields are separated by tabs, and always the same; no header stands before them."""
    chat, drawing = (run("models", *options).stdout.splitlines() for options in ([], ["--images"]))

    fields = ["gpt-5.2", "GPT-5.2", "openai", "text image", "text", "0.16", "1.3", "seedance"]
    assert chat[3].split("\t") == [*fields, "in 20%, out 19%", "Sale"]
    assert {line.count("\t") for line in chat} == {9}
    assert drawing[0].split("\t")[:5] == ["gpt-image-2", "GPT Image 2", "generate edit", "27", "1 - 4"]


def test_prices_are_lined_up_at_the_decimal_point(scripted: ScriptedServer) -> None:
    """Also beside a model without a price."""
    tiers = [[{"input": {"text": price}}] for price in ("0.075", "12.5", "3")]
    priced = [{"name": f"m{n}", "pricing": {"tiers": each}} for n, each in enumerate(tiers)]
    scripted.answer(listed(*priced, {"name": "free"}))
    rows = run("models", TTY_COMPATIBLE="1", TERM="dumb").stdout.splitlines()[2:5]

    assert rows[0].index(".") == rows[1].index(".") == rows[2].index("3") + 1


@pytest.mark.parametrize("arguments", [[], ["--names"], ["m"]])
def test_a_list_cannot_steer_the_terminal(scripted: ScriptedServer, arguments: list[str]) -> None:
    """Each server has its own."""
    odd = {"name": "m\x1b[2J", "label": "m", "tags": ["\x1b]0;t\x07"], "channel": "\x1b[8m"}
    scripted.answer(listed(odd))
    told = shown(*arguments)

    assert "m[2J" in told
    assert not {"\x1b", "\x07"} & set(told)


def test_the_list_needs_no_key_and_sends_none(scripted: ScriptedServer) -> None:
    """With a key it goes along, as a server may show more to its holder."""
    scripted.answer(listed({"name": "glm-5.2"}))
    for site, key in (("cn", ""), ("cn", KEY)):
        assert run("models", AITOEARN_SITE=site, AITOEARN_API_KEY=key).returncode == 0

    without, with_key = (request.headers for request in scripted.requests)
    assert not {"authorization", "x-api-key"} & set(without)
    assert with_key["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--output image", "gemini-3-pro-image gpt-image-2"),
        ("--input audio --input video", "gemini-3.1-pro-preview"),
        ("--channel ANTHROPIC --input Text --output TEXT", "claude-sonnet-5"),
        ("--search SALE --sort name", "deepseek-r2-local gpt-5.2"),
        ("--sort price --search deepseek", "deepseek-v4 deepseek-r2-local"),
        ("--images --sort price", "seedream-5 gpt-image-2 bare-painter"),
        ("--images --sort name", "bare-painter gpt-image-2 seedream-5"),
        ("--images --search SEED", "seedream-5"),
    ],
)
def test_filters_and_an_order_narrow_the_list(arguments: str, names: str) -> None:
    """Case does not matter; bare names go to scripts."""
    assert run("models", "--names", *arguments.split()).stdout.split() == names.split()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("glm5", 2, "no model is named 'glm5'; the closest: glm-5.2\n"),
        ("xyzzy", 2, "no model is named 'xyzzy'. `aitoearn-openai models` lists them\n"),
        ("--images gpt-image-3", 2, "the closest: gpt-image-2"),
        ("--images zzzz", 2, "no model is named 'zzzz'. `aitoearn-openai models` lists them\n"),
        ("--images --input text", 2, "--input, --output and --channel are for chat models only."),
        ("--channel openia", 2, "--channel: 'openia' is not one of anthropic, deepseek, gemini, ollama, openai, zhipu."),
        ("--input txt", 2, "--input: 'txt' is not one of audio, image, text, video."),
        ("--output txt", 2, "--output: 'txt' is not one of image, text."),
        ("--search zzz", 1, "none of the 11 models matches; try fewer filters\n"),
        ("--search zzz --names", 1, "none of the 11 models matches; try fewer filters\n"),
        ("--search zzz --images", 1, "none of the 3 models matches; try fewer filters\n"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_list_is_told(arguments: str, code: int, told: str) -> None:
    """A name that is nearly right, a value that no model has; a search without a match ends as that of grep does."""
    refused = run("models", *arguments.split())

    assert (refused.returncode, refused.stdout) == (code, "")
    assert told in refused.stderr


def test_json_has_all_that_the_service_says() -> None:
    """Of one model an object, of more a list, with the service's own names and the fields that nobody knew."""
    one, drawing, all_of_them, none = (
        json.loads(run("models", *arguments.split(), "--json").stdout)
        for arguments in ("deepseek-r2-local", "--images gpt-image-2", "", "--search zzz")
    )

    assert one["mainTag"] == {"en-US": "Local", "zh-CN": "本地"}
    assert [drawing[call][0]["name"] for call in ("generate", "edit")] == ["gpt-image-2"] * 2
    assert (len(all_of_them), none) == (len(ENTRIES), [])


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


@pytest.mark.parametrize("columns", [60, 65, 70, 80, 100, 120])
@pytest.mark.parametrize("arguments", [[], ["--sort", "price"]])
def test_no_width_cuts_a_price(scripted: ScriptedServer, columns: int, arguments: list[str]) -> None:
    """Each character takes its own width, and nothing of the service's is read as a style."""
    scripted.answer(listed(LONG, {**LONG, "name": "short", "tags": ["Limited time"]}))
    told = shown(*arguments, columns=columns)

    words = "0.0825 - 0.315", "0.165 - 2.3625", "特价", "Limited", "[red]", *(["0.165"] if arguments else [])
    assert [each for each in words if each not in told] == []


@pytest.mark.parametrize(
    ("price", "then", "discount"),
    [("-1", "0", ""), ("-1", "5", ""), ("9.99", "10", ""), ("0.001", "1000", "99%"), ("0", "2", "100%")],
)  # fmt: skip
def test_an_odd_price_is_no_discount(scripted: ScriptedServer, price: str, then: str, discount: str) -> None:
    """None of a price below 0, none of 0 %, and none of 100 % where something is to be paid."""
    scripted.answer(listed({"name": "m", "pricing": {"price": price, "originPrice": then}}))

    assert f"/m {price} a call {discount}".rstrip() + "/" in shown()


ANY = {"input": {"text": "3"}}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"fixedImagePricing": [{"resolution": "1K", "price": "lots"}, {"price": "4.0"}]},
         "m/An image of any size costs 4 credits./"),
        ({"pricing": {"tiers": [{"maxInputTokens": "lots", **ANY}]}}, "/credits per 1,000 tokens limit unknown/"),
        ({"pricing": {"tiers": [{"input": {"text": "1E+999999"}}]}}, "/in, text 1E+999999/"),
        ({"pricing": {"price": "10000000000000"}}, "costs 10000000000000 credits"),
        ({"pricing": {"price": "1E+9999999"}}, "costs 1E+9999999 credits"),
        ({"fixedImagePricing": [{"price": "1E+9999999"}]}, "costs 1E+9999999 credits"),
        ({"pricing": {"price": "1", "tiers": [ANY]}}, "has two prices in the list"),
    ],
)  # fmt: skip
def test_odd_prices_are_shown_as_far_as_they_make_sense(
    scripted: ScriptedServer, entry: dict[str, Any], words: str
) -> None:
    """And none is made up."""
    scripted.answer(listed({"name": "m", **entry}))

    assert words in shown("m")


def test_a_size_without_a_price_is_called_so(scripted: ScriptedServer) -> None:
    """It can be asked for all the same."""
    pricing = [{"size": "1x1", "price": 1}, {"size": "3x3"}]
    scripted.answer(listed({"name": "m", "sizes": ["1x1", "2x2"], "pricing": pricing}))

    assert "/no price 2x2/" in shown("--images", "m")


@pytest.mark.parametrize(
    ("option", "entries", "code", "told"),
    [
        *((option, [{"name": "m"}], 2, f"{option}: the list does not say that of any model.")
          for option in ("--input", "--output", "--channel")),
        ("--search", [{"name": "m"}], 1, "the only model does not match; try fewer filters\n"),
        ("--search", [], 1, "the list is empty"),
    ],
)  # fmt: skip
def test_a_list_that_says_nothing_of_what_is_asked_for_is_told(
    scripted: ScriptedServer, option: str, entries: list[Any], code: int, told: str
) -> None:
    """As that of a server of one's own."""
    scripted.answer(listed(*entries))
    refused = run("models", option, "image")

    assert (refused.returncode, refused.stdout) == (code, "")
    assert told in refused.stderr
