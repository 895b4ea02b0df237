"""`models`, as people and scripts use it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.cells import cell_len

from aitoearn_openai import sandbox
from commands import KEY, run, sandboxed  # noqa: F401 - a fixture
from conftest import Reply, ScriptedServer


def names(*arguments: str) -> list[str]:
    return run("models", "--names", *arguments).stdout.split()


def listed(*entries: dict[str, Any]) -> Reply:
    return Reply({"data": list(entries), "code": 0, "message": "请求成功"})


@pytest.mark.usefixtures("sandboxed")
def test_the_list_fits_80_columns() -> None:
    """With the name, label, channel, modalities, prices, discount and tags of each model."""
    shown = run("models", COLUMNS="80")

    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [number for number, line in enumerate(lines) if line.startswith("gpt-5.2 ")]
    assert lines[row].split() == ["gpt-5.2", "openai", "text", "image", "0.16", "1.3", "Sale"]
    assert lines[row + 1].split() == ["GPT-5.2", "seedance", "→", "text", "20%", "off", "19%", "off"]
    assert [line.split()[-3:] for line in lines if line.startswith("gemini-3.1")] == [["1.2", "-", "1.8"]]
    assert [line.split()[-3:] for line in lines if line.startswith("gpt-5.2-mini")] == [["0.5", "a", "call"]]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize(("columns", "label"), [("110", False), ("130", True)])
def test_a_wide_terminal_has_a_line_for_each_model(columns: str, label: bool) -> None:
    """Without empty lines; with the label where there is room for it."""
    shown = run("models", COLUMNS=columns).stdout
    lines = shown.splitlines()

    assert len(lines) == 2 + len(names()) + 1
    assert ("DeepSeek V4" in shown) is label
    assert "seedance" in shown
    assert [line.split()[-3:] for line in lines if line.startswith("gpt-5.2 ")] == [["20%", "19%", "Sale"]]


def test_prices_are_lined_up_at_the_decimal_point(server: ScriptedServer) -> None:
    """Also beside a model without a price."""
    tiers = [[{"input": {"text": price}}] for price in ("0.075", "12.5", "3")]
    priced = [{"name": f"m{n}", "pricing": {"tiers": each}} for n, each in enumerate(tiers)]
    server.answer(listed(*priced, {"name": "free"}))
    lines = run("models", COLUMNS="100", AITOEARN_BASE_URL=server.origin).stdout.splitlines()
    rows = [next(line for line in lines if line.startswith(name)) for name in ("m0", "m1", "m2")]

    assert rows[0].index(".") == rows[1].index(".") == rows[2].index("3") + 1


@pytest.mark.parametrize("arguments", [[], ["--names"], ["m"]])
def test_a_list_cannot_steer_the_terminal(server: ScriptedServer, arguments: list[str]) -> None:
    """Each server has its own."""
    server.answer(listed({"name": "m\x1b[2J", "label": "m", "tags": ["\x1b]0;t\x07"], "channel": "\x1b[8m"}))
    shown = run("models", *arguments, AITOEARN_BASE_URL=server.origin).stdout

    assert "m[2J" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_chinese_and_odd_texts_keep_the_table_straight(server: ScriptedServer) -> None:
    """Each character takes its own width, and nothing of the service's is read as a style."""
    server.answer(
        listed(
            {"name": "qwen", "label": "通义千问 [red]旗舰[/red]", "tags": [{"zh-CN": "限时优惠"}], "channel": "阿里云",
             "inputModalities": ["text"], "pricing": {"tiers": [{"output": {"text": "1"}}]}},
        )
    )  # fmt: skip
    shown = run("models", COLUMNS="80", AITOEARN_BASE_URL=server.origin).stdout

    assert "[red]" in shown
    assert "限时优惠" in shown
    assert max(map(cell_len, shown.splitlines())) <= 80


def test_the_list_needs_no_key_and_sends_none(server: ScriptedServer) -> None:
    """With a key it goes along, as a server may show more to its holder."""
    server.answer(listed({"name": "glm-5.2"}))
    for key in ("", KEY):
        assert run("models", AITOEARN_BASE_URL=server.origin, AITOEARN_API_KEY=key).returncode == 0

    without, with_key = (request.headers for request in server.requests)
    assert not {"authorization", "x-api-key"} & set(without)
    assert with_key["x-api-key"] == KEY


@pytest.mark.usefixtures("sandboxed")
def test_filters_and_an_order_narrow_the_list() -> None:
    """Bare names go to scripts."""
    assert names("--output", "image") == ["gemini-3-pro-image", "gpt-image-2"]
    assert names("--input", "audio", "--input", "video") == ["gemini-3.1-pro-preview"]
    assert names("--channel", "anthropic") == ["claude-sonnet-5"]
    assert names("--search", "SALE", "--sort", "name") == ["deepseek-r2-local", "gpt-5.2"]
    cheapest = names("--sort", "price")
    assert cheapest[:2] == ["deepseek-v4", "glm-5.2"]
    assert cheapest[-1] == "bare-local"
    assert names("--sort", "price", "--prompt-tokens", "90000")[0] == "gpt-5.2-mini"


@pytest.mark.usefixtures("sandboxed")
def test_filters_ignore_case_and_know_what_exists() -> None:
    """A value that no model has is a typo, and the answer to it names those that exist."""
    assert names("--channel", "ANTHROPIC", "--input", "Text", "--output", " TEXT ") == ["claude-sonnet-5"]
    for option, words in (
        ("--channel", "anthropic, deepseek, gemini, ollama, openai, zhipu"),
        ("--input", "audio, image, text, video"),
        ("--output", "image, text"),
    ):
        refused = run("models", option, "openia")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"Invalid value for {option}: 'openia' is not one of {words}. `" in refused.stderr


@pytest.mark.parametrize("width", ["40", "80", "200"])
@pytest.mark.usefixtures("sandboxed")
def test_an_order_by_price_shows_the_price(width: str) -> None:
    """Of the call by which it sorts, on every width."""
    shown = run(
        "models", "--sort", "price", "--prompt-tokens", "1", "--channel", "zhipu", COLUMNS=width
    ).stdout

    assert "0.225075" in shown
    assert max(map(cell_len, shown.splitlines())) <= int(width)
    assert "a call: credits for 1 token in and 500 out" in " ".join(shown.split())


NARROW = """\
gpt-5.2
  GPT-5.2, openai, Sale
  balance seedance
  text image → text
  0.16 in, 20% off
  1.3 out, 19% off
gpt-5.2-mini
  GPT-5.2 Mini, openai
  balance seedance
  text image → text
  0.5 a call, 38% off
gpt-image-2
  GPT Image 2, openai
  balance seedance
  text image → image
  6 a call
in, out: credits per 1,000 tokens of text
"""


@pytest.mark.usefixtures("sandboxed")
def test_a_narrow_terminal_gets_lines_in_place_of_a_table() -> None:
    """Each word whole; a model that says nothing has its name alone."""
    shown = run("models", "--channel", "openai", COLUMNS="41").stdout
    bare = run("models", "--sort", "price", COLUMNS="41").stdout

    assert shown == NARROW
    assert "\nbare-local\nin, out" in bare or "\nbare-local\n" in bare


@pytest.mark.usefixtures("sandboxed")
def test_a_search_without_a_match_says_so() -> None:
    """With the exit code of grep, and with valid JSON."""
    for more in ([], ["--names"]):
        found = run("models", "--search", "nothing like it", *more)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr == "aitoearn-openai: none of the 11 models matches; try fewer filters\n"
    assert json.loads(run("models", "--search", "nothing like it", "--json").stdout) == []


@pytest.mark.usefixtures("sandboxed")
def test_one_model_is_shown_with_all_its_prices() -> None:
    """By its label too; with what a call of a size costs."""
    assert "above 200,000 in" in run("models", "gemini-3.1-pro-preview").stdout
    shown = run(
        "models", "claude sonnet 5", "--prompt-tokens", "300000", "--completion-tokens", "1000"
    ).stdout

    for words in ("up to 200,000 in", "up to 1,000,000 in", "in, cache write 1h", "0.375", "anthropic"):
        assert words in shown
    assert "A call of 300,000 tokens in and 1,000 out costs 182.2 credits." in shown
    assert "0.16, 20% off" in run("models", "gpt-5.2").stdout
    assert "costs 0.5 credits, 38% off, as every call does." in run("models", "gpt-5.2-mini").stdout
    assert "An image of 4K costs 7.5 credits." in run("models", "gemini-3-pro-image").stdout
    assert "has no price in the list." in run("models", "bare-local").stdout


@pytest.mark.usefixtures("sandboxed")
def test_json_has_all_that_the_service_says() -> None:
    """Of one model an object, of more a list, with the service's own names and the fields that nobody knew."""
    one = json.loads(run("models", "deepseek-r2-local", "--json").stdout)

    assert one["mainTag"] == {"en-US": "Local", "zh-CN": "本地"}
    assert len(json.loads(run("models", "--json").stdout)) == len(sandbox._catalogue.ENTRIES)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("sandboxed")
def test_a_name_that_is_nearly_right_is_corrected() -> None:
    """The closest names are told; where none is close, where to look."""
    near, far = run("models", "glm5"), run("models", "xyzzy")

    assert (near.returncode, far.returncode) == (2, 2)
    assert near.stderr == "aitoearn-openai: no model is named 'glm5'; the closest: glm-5.2\n"
    assert "`aitoearn-openai models` lists them" in far.stderr


@pytest.mark.usefixtures("sandboxed")
def test_the_models_that_draw_fit_80_columns() -> None:
    """With what takes them, their sizes, the credits for an image, the balance and the tags."""
    shown = run("models", "--images", COLUMNS="80")
    lines = shown.stdout.splitlines()

    assert (shown.returncode, shown.stderr) == (0, "")
    assert max(map(len, lines)) <= 80
    (row,) = [number for number, line in enumerate(lines) if line.startswith(" gpt-image-2 ")]
    assert lines[row].split() == ["gpt-image-2", "generate", "27", "1", "-", "4", "seedance", "Sale"]
    assert lines[row + 1].split() == ["GPT", "Image", "2", "edit", "95%", "off"]


@pytest.mark.usefixtures("sandboxed")
def test_the_models_that_draw_have_lines_where_no_table_fits() -> None:
    """Each as it is shown alone."""
    shown = run("models", "--images", COLUMNS="40").stdout

    assert shown.startswith("gpt-image-2\n  label    GPT Image 2\n")
    assert " 0.8               1024x1024" in shown
    assert max(map(cell_len, shown.splitlines())) <= 40


@pytest.mark.usefixtures("sandboxed")
def test_one_model_that_draws_is_shown_with_its_sizes() -> None:
    """By price, at 80 columns."""
    shown = run("models", "--images", "GPT image 2", COLUMNS="80").stdout

    assert max(map(len, shown.splitlines())) <= 80
    for words in (
        "balance  seedance",
        "quality  auto, high, medium, low",
        "up to 14 images",
        "1, 95% off",
        "3840x2160",
    ):
        assert words in shown
    assert "vivid" in run("models", "--images", "seedream-5").stdout
    assert run("models", "--images", "bare-painter").stdout == "bare-painter\nimages.generate\n"


def test_a_size_without_a_price_is_called_so(server: ScriptedServer) -> None:
    """It can be asked for all the same."""
    server.answer(
        listed(
            {"name": "m", "sizes": ["1x1", "2x2"], "pricing": [{"size": "1x1", "price": 1}, {"size": "3x3"}]}
        )
    )
    shown = run("models", "--images", "m", AITOEARN_BASE_URL=server.origin).stdout

    assert any(line.split() == ["no", "price", "2x2"] for line in shown.splitlines())


@pytest.mark.usefixtures("sandboxed")
def test_the_models_that_draw_can_be_sorted_searched_and_scripted() -> None:
    """As the others can."""
    assert names("--images", "--sort", "price") == ["seedream-5", "gpt-image-2", "bare-painter"]
    assert names("--images", "--sort", "name") == ["bare-painter", "gpt-image-2", "seedream-5"]
    assert names("--images", "--search", "SEED") == ["seedream-5"]
    lists = json.loads(run("models", "--images", "gpt-image-2", "--json").stdout)
    assert [lists[call][0]["name"] for call in ("generate", "edit")] == ["gpt-image-2"] * 2
    assert run("models", "--images", "--search", "zzz").returncode == 1
    assert run("models", "--images", "--input", "text").returncode == 2
    assert "the closest: gpt-image-2" in run("models", "--images", "gpt-image-3").stderr


@pytest.mark.usefixtures("sandboxed")
def test_a_model_says_which_balance_pays_and_what_is_over_its_last_limit() -> None:
    """Such a call may be refused."""
    shown = run("models", "claude-sonnet-5", "--prompt-tokens", "2000000").stdout

    assert "balance  seedance" in shown
    assert "over the last limit in the list, 1,000,000 in, and may be refused" in shown


LONG = {
    "name": "gemini-3.1-flash-lite-image",
    "label": "Gemini 3.1 Flash Lite",
    "channel": "gemini",
    "inputModalities": ["text", "image", "audio", "video"],
    "outputModalities": ["text"],
    "tags": ["限时优惠", "特价"],
    "pricing": {"tiers": [{"maxInputTokens": 1000, "input": {"text": "0.0825"}, "output": {"text": "0.165"}},
                          {"input": {"text": "0.315"}, "output": {"text": "2.3625"}}]},
}  # fmt: skip


@pytest.mark.parametrize("columns", ["60", "65", "70", "80", "100", "120"])
@pytest.mark.parametrize("arguments", [[], ["--sort", "price"]])
def test_no_width_cuts_a_price(server: ScriptedServer, columns: str, arguments: list[str]) -> None:
    """Where no table has room for all of it, there are lines."""
    server.answer(listed(LONG, {**LONG, "name": "short", "tags": ["Limited time"]}))
    shown = run("models", *arguments, COLUMNS=columns, AITOEARN_BASE_URL=server.origin).stdout

    assert max(map(cell_len, shown.splitlines())) <= int(columns)
    for words in ("0.0825 - 0.315", "0.165 - 2.3625", "特价", "Limited", *(["0.165"] if arguments else [])):
        assert words in shown


def test_odd_prices_are_shown_as_far_as_they_make_sense(server: ScriptedServer) -> None:
    """No discount of a price below 0, none of 0 %, and none of 100 % where something is to be paid."""
    prices = {
        "a": ("-1", "0"),
        "b": ("-1", "5"),
        "c": ("9.99", "10"),
        "d": ("0.001", "1000"),
        "e": ("0", "2"),
    }
    entries = [
        {"name": name, "pricing": {"price": now, "originPrice": then}} for name, (now, then) in prices.items()
    ]
    huge = {"name": "huge", "pricing": {"tiers": [{"input": {"text": "1E+999999"}}]}}
    image = {"name": "draws", "fixedImagePricing": [{"resolution": "1K", "price": "lots"}, {"price": "4.0"}]}
    limit = {"name": "odd", "pricing": {"tiers": [{"maxInputTokens": "lots", "input": {"text": "1"}}]}}
    server.answer(listed(*entries, huge, image, limit))
    where = {"AITOEARN_BASE_URL": server.origin, "COLUMNS": "120"}
    rows = {
        line.split()[0]: line.split() for line in run("models", **where).stdout.splitlines() if line.strip()
    }

    assert {name: [cell for cell in rows[name] if "%" in cell] for name in prices} == {
        "a": [], "b": [], "c": [], "d": ["99%"], "e": ["100%"]
    }  # fmt: skip
    assert "1E+999999" in rows["huge"]
    assert run("models", "draws", **where).stdout.count("An image of") == 1
    assert "An image of any size costs 4 credits." in run("models", "draws", **where).stdout
    assert "limit unknown" in run("models", "odd", **where).stdout
    for price in ("10000000000000", "1E+9999999"):
        server.answer(
            listed({"name": "m", "pricing": {"price": price}, "fixedImagePricing": [{"price": price}]})
        )
        assert f"costs {price} credits" in run("models", "m", **where).stdout
    tiers = [{"input": {"text": "3"}}]
    server.answer(listed({"name": "m", "pricing": {"price": "1", "tiers": tiers}}))
    assert "has two prices in the list" in run("models", "m", **where).stdout


def test_a_list_that_says_nothing_of_what_is_asked_for_is_told(server: ScriptedServer) -> None:
    """As that of a server of one's own; and so is an empty one."""
    where = {"AITOEARN_BASE_URL": server.origin}
    server.answer(listed({"name": "m"}))
    for option in ("--input", "--output", "--channel"):
        refused = run("models", option, "image", **where)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"Invalid value for {option}: the list says nothing of that for any model." in refused.stderr
    assert (
        "the only model does not match; try fewer filters" in run("models", "--search", "x", **where).stderr
    )
    server.answer(listed())
    assert "the list is empty" in run("models", **where).stderr


@pytest.mark.usefixtures("sandboxed")
def test_a_model_that_does_not_draw_is_looked_for_in_the_right_list() -> None:
    """What lists the others is the same command."""
    refused = run("models", "--images", "zzzz")

    assert "no model is named 'zzzz'; `aitoearn-openai models --images` lists them" in refused.stderr
