"""`models`: what the service offers, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NoReturn, TypeVar

import openai
import typer
from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .. import ChatModel, OpenAI, Settings
from .._models import ImageModel, ImageSizePrice, ListedModel, PriceTier, Pricing, find
from . import failures, options
from .screen import (
    DIGITS,
    console,
    count,
    credits_text,
    escape,
    number,
    one_line,
    print_json,
    show,
    table,
    write,
)

_NARROW = 60
_LONG_NAME = 26


class Sort(str, Enum):
    """An order of the list; without one it is the service's."""

    price = "price"
    name = "name"


_Model = TypeVar("_Model", bound=ListedModel)


def models(
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=options.model_names, help="One model, by its name or label."),
    ] = None,
    takes: Annotated[
        list[str] | None, typer.Option("--input", help="Only what takes this, such as image; repeatable.")
    ] = None,
    gives: Annotated[
        list[str] | None, typer.Option("--output", help="Only what gives this, such as image; repeatable.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Only models of this channel, such as openai.")] = None,
    search: Annotated[str | None, typer.Option(help="Only models with this in a name or a text.")] = None,
    sort: Annotated[Sort | None, typer.Option(help="price: cheapest first, for the example call.")] = None,
    prompt_tokens: Annotated[int, typer.Option(min=0, help="Input tokens of the example call.")] = 1000,
    completion_tokens: Annotated[int, typer.Option(min=0, help="Output tokens of the example call.")] = 500,
    names: Annotated[bool, typer.Option("--names", help="Print bare names, for scripts.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="The models of images.generate and images.edit instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that the service says.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
    debug: options.Debug = False,
) -> None:
    """List the models, or show one with all its prices and what a call costs. Needs no key, costs nothing."""
    settings = options.resolve(site, base_url)
    if images:
        if takes or gives or channel:
            raise typer.BadParameter("--input, --output and --channel are for chat models alone")
        _images(settings, name, search, sort, names, as_json)
        return
    offered = fetch(settings)
    chosen = [_named(offered, name)] if name else offered
    for option, wanted, of in (
        ("--input", takes, lambda model: model.input_modalities),
        ("--output", gives, lambda model: model.output_modalities),
        ("--channel", [channel] if channel else [], lambda model: [model.owned_by]),
    ):
        for value in wanted or []:
            chosen = _with(value, of, chosen, offered, option)
    chosen = [model for model in chosen if (search or "").casefold() in _texts(model)]

    def price(model: ChatModel) -> Decimal:
        cost = model.credits(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        return Decimal("Infinity") if cost is None else cost

    if sort:
        chosen.sort(key=price if sort is Sort.price else lambda model: model.id)
    if as_json:
        entries = [model.to_dict(mode="json") for model in chosen]
        print_json(entries[0] if name and entries else entries)
    elif names:
        for model in chosen:
            write(one_line(model.id))
    elif name and chosen:
        _show(chosen[0], prompt_tokens, completion_tokens)
    elif chosen:
        costs = [price(model) for model in chosen] if sort is Sort.price else None
        _show_all(chosen, costs)
        if costs:
            call = f"{count(prompt_tokens, 'token')} in and {completion_tokens:,} out"
            console.print(f"a call: credits for {call}", style="dim")
    if not chosen:
        _no_match(len(offered))


def fetch(settings: Settings, **arguments: Any) -> list[ChatModel]:
    """The service's list, also without a key: it is public."""
    with _client(settings, arguments) as client:
        return list(client.models.list(extra_headers=_headers(settings)))


def fetch_images(settings: Settings, **arguments: Any) -> dict[str, list[ImageModel]]:
    """The lists of the models that draw, by the method of `client.images`."""
    headers = _headers(settings)
    with _client(settings, arguments) as client:
        return {
            "generate": list(client.models.image_generation.list(extra_headers=headers)),
            "edit": list(client.models.image_edit.list(extra_headers=headers)),
        }


def _no_match(offered: int) -> NoReturn:
    text = f"none of the {offered:,} models matches" if offered > 1 else "the only model does not match"
    failures.fail(f"{text}; try fewer filters" if offered else "the list is empty", failures.NO_MATCH)


def _client(settings: Settings, arguments: dict[str, Any]) -> OpenAI:
    return OpenAI.from_settings(
        settings, **arguments if settings.api_key else {"api_key": "none", **arguments}
    )


def _headers(settings: Settings) -> dict[str, str | openai.Omit]:
    return {} if settings.api_key else {"Authorization": openai.Omit()}


def _named(offered: list[_Model], name: str, command: str = "models") -> _Model:
    found = find(offered, name)
    if not isinstance(found, list):
        return found
    closest = f"the closest: {', '.join(found)}" if found else f"`aitoearn-openai {command}` lists them"
    return failures.fail(f"no model is named {name!r}; {closest}", failures.USAGE)


def _with(
    value: str,
    of: Callable[[ChatModel], list[str]],
    chosen: list[ChatModel],
    offered: list[ChatModel],
    option: str,
) -> list[ChatModel]:
    """The models that have a value among theirs, in whatever case; one that no model has is refused."""
    wanted = value.strip().casefold()
    known = {each for model in offered for each in of(model) if each}
    if not known:
        raise typer.BadParameter("the list says nothing of that for any model.", param_hint=option)
    if wanted not in {each.casefold() for each in known}:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(sorted(known))}.", param_hint=option)
    return [model for model in chosen if wanted in [each.casefold() for each in of(model)]]


def _texts(model: ListedModel) -> str:
    return "\n".join([model.id, model.label or "", model.description or "", *model.tags]).casefold()


def _show_all(chosen: list[ChatModel], costs: list[Decimal] | None) -> None:
    if console.width < _NARROW:
        _show_list(chosen, costs)
        return
    wide = (_lines(chosen, costs, names) for names in (["label", "channel"], ["channel"]))
    unlimited = console.options.update(width=1000)
    fitting = (each for each in wide if console.measure(each, options=unlimited).maximum <= console.width)
    made = next(fitting, None) or _blocks(chosen, costs)
    if made is None:
        _show_list(chosen, costs)
        return
    console.print(made)
    console.print(
        "in, out: credits per 1,000 tokens of text; a range where long calls cost more", style="dim"
    )


def _show_list(chosen: list[ChatModel], costs: list[Decimal] | None) -> None:
    """Some lines for each model, where no table fits."""
    no_costs: list[Decimal | None] = [None] * len(chosen)
    for model, cost in zip(chosen, costs or no_costs, strict=True):
        before, after = (cell.partition("\n") for cell in _price_cells(model.pricing))
        prices = [(before, "in"), (after, "out")]
        if after[0] == "a call":
            prices = [(before, "a call")]
        takes, gives = " ".join(model.input_modalities), " ".join(model.output_modalities)
        lines = [
            escape(", ".join(filter(None, [model.label, model.owned_by, *model.tags]))),
            f"balance {escape(model.credits_scope)}" if model.credits_scope else "",
            escape(f"{takes} → {gives}" if gives else takes),
            *(f"{price} {unit}{', ' * bool(off)}{off}" for (price, _, off), unit in prices if price),
            f"a call: {_cost(cost)}" if cost is not None and cost.is_finite() else "",
        ]
        console.print(f"[bold]{escape(model.id)}[/]")
        for line in filter(None, lines):
            console.print(Padding(line, (0, 0, 0, 2), expand=False))
    console.print("in, out: credits per 1,000 tokens of text", style="dim")


def _cost(cost: Decimal) -> str:
    return number(cost) if cost.is_finite() else ""


def _lines(chosen: list[ChatModel], costs: list[Decimal] | None, names: list[str]) -> Table:
    """A line for each model, with the prices lined up at the decimal point."""
    call = ["a call"] if costs else []
    if any(model.credits_scope for model in chosen):
        names = [*names, "balance"]
    shown = table("model", *names, "takes → gives", "in", "out", *call, "discount", "tags")
    shown.show_edge, shown.padding = False, (0, 0, 0, 0)
    prices = [[cell.partition("\n") for cell in _price_cells(model.pricing)] for model in chosen]
    sides = (_aligned([cells[side][0] for cells in prices]) for side in (0, 1))
    calls = _aligned([_cost(cost) for cost in costs]) if costs else [""] * len(chosen)
    for model, cells, before, after, cost in zip(chosen, prices, *sides, calls, strict=True):
        takes, gives = " ".join(model.input_modalities), " ".join(model.output_modalities)
        known = {"label": model.label, "channel": model.owned_by, "balance": model.credits_scope}
        shown.add_row(
            f"[bold]{escape(model.id)}[/]",
            *(escape(known[name] or "") for name in names),
            escape(f"{takes} → {gives}" if gives else takes),
            before,
            after,
            *([cost] if costs else []),
            " ".join(dict.fromkeys(cell[2].replace(" off", "") for cell in cells if cell[2])),
            escape(", ".join(model.tags)),
        )
    return shown


def _aligned(cells: list[str]) -> list[str]:
    digits = [re.sub(r"\D.*", "", cell) for cell in cells]
    most = max(map(len, digits))
    return [" " * (most - len(each)) * bool(each) + cell for cell, each in zip(cells, digits, strict=True)]


def _blocks(chosen: list[ChatModel], costs: list[Decimal] | None) -> Table | None:
    """Two lines for each model, for narrow terminals; None where prices would be cut."""
    call = ["a call"] if costs else []
    shown = table("model, label", "channel\nbalance", "takes → gives", "in", "out", *call, "tags")
    shown.show_edge, shown.padding = False, (0, 0, 0, 0)
    for model, cost in zip(chosen, costs or [Decimal(0)] * len(chosen), strict=True):
        gives = f"\n→ {escape(' '.join(model.output_modalities))}" if model.output_modalities else ""
        shown.add_row(
            f"[bold]{escape(model.id)}[/]\n[dim]{escape(model.label or '')}[/]",
            f"{escape(model.owned_by)}\n[dim]{escape(model.credits_scope or '')}[/]",
            escape(" ".join(model.input_modalities)) + gives,
            *_price_cells(model.pricing),
            *([_cost(cost)] if costs else []),
            escape(", ".join(model.tags)),
        )
    return (
        shown
        if _fits(shown, max(cell_len(tag) for model in chosen for tag in ["tags", *model.tags]))
        else None
    )


def _fits(shown: Table, tag: int) -> bool:
    """Give each column its width; where there is not enough, first the modalities and then the tags are folded."""
    texts = [[str(text) for text in (column.header, *column.cells)] for column in shown.columns]
    lines = [
        [line for text in each for line in Text.from_markup(text, emoji=False).plain.split("\n")]
        for each in texts
    ]
    widths = [max(map(cell_len, each)) for each in lines]
    widths[0] = min(_LONG_NAME, widths[0])
    word = max(cell_len(word) for line in lines[2] for word in [*line.split(), ""])
    for place, least in ((2, word), (-1, tag)):
        excess = sum(widths) + len(widths) - 1 - console.width
        widths[place] = max(min(least, widths[place]), widths[place] - max(0, excess))
    for column, width in zip(shown.columns, widths, strict=True):
        column.width = width
    return sum(widths) + len(widths) - 1 <= console.width


def _price_cells(pricing: Pricing | None) -> tuple[str, str]:
    """The cells for input and output."""
    if pricing is None:
        return "", ""
    before = pricing.origin_pricing or Pricing()
    if pricing.price is not None and not pricing.tiers:
        return number(pricing.price) + _discount(pricing.price, pricing.origin_price, "\n"), "a call"
    sides = ([(tier.input.text, tier.output.text) for tier in each.tiers] for each in (pricing, before))
    now, origin = (list(zip(*side, strict=True)) or [(), ()] for side in sides)
    return _range(now[0], origin[0]), _range(now[1], origin[1])


def _range(prices: tuple[Decimal | None, ...], before: tuple[Decimal | None, ...]) -> str:
    known = [price for price in prices if price is not None]
    if not known:
        return ""
    text = " - ".join(dict.fromkeys(map(number, (known[0], known[-1]))))
    return text + _discount(known[0], before[0] if before else None, "\n")


def _discount(price: Decimal, before: Decimal | None, gap: str) -> str:
    if before is None or not 0 <= price < before or before.adjusted() >= DIGITS:
        return ""
    percent = min(99, round(100 * (1 - price / before))) if price else 100
    return f"{gap}[green]{percent}% off[/]" if percent else ""


def _show(model: ChatModel, prompt_tokens: int, completion_tokens: int) -> None:
    show(f"[bold]{escape(model.id)}[/]")
    _show_texts(
        ("label", model.label),
        ("channel", model.owned_by),
        ("takes", ", ".join(model.input_modalities)),
        ("gives", ", ".join(model.output_modalities)),
        ("scenes", ", ".join(model.scenes)),
        ("balance", model.credits_scope),
        ("tags", ", ".join(model.tags)),
        ("about", "" if model.description == model.label else model.description),
    )
    if model.pricing and model.pricing.tiers:
        _show_tiers(model.pricing)
    for image in model.fixed_image_pricing:
        if image.price is not None:
            costs = credits_text({None: image.price})
            console.print(f"An image of {escape(image.resolution or 'any size')} costs {costs}.")
    cost = model.credits(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    price = "has no price in the list" if cost is None else f"costs [bold]{credits_text({None: cost})}[/]"
    if model.pricing and model.pricing.tiers and model.pricing.price is not None:
        price = "has two prices in the list, by call and by token"
    elif cost is not None and model.pricing and model.pricing.price is not None:
        price += f"{_discount(cost, model.pricing.origin_price, ', ')}, as every call does"
    limit = model.pricing.max_input_tokens if model.pricing else None
    if limit is not None and prompt_tokens > limit:
        price += f"; that is over the last limit in the list, {limit:,} in, and may be refused"
    call = f"A call of {count(prompt_tokens, 'token')} in and {completion_tokens:,} out"
    show(f"{call} {price}.")


def _show_texts(*texts: tuple[str, str | None]) -> None:
    for what, text in texts:
        if text:
            show(f"  [dim]{what:8}[/] {escape(text)}")


def _show_tiers(pricing: Pricing) -> None:
    """Each kind of token in a row, each tier in a column."""
    shown = table("credits per 1,000 tokens", *_reaches(pricing.tiers))
    before = pricing.origin_pricing.tiers if pricing.origin_pricing else []
    origins = [*before, *[PriceTier()] * len(pricing.tiers)]
    for side in ("input", "output"):
        for kind in type(PriceTier().input).model_fields:
            prices = [getattr(getattr(tier, side), kind) for tier in pricing.tiers]
            if any(price is not None for price in prices):
                cells = (
                    ""
                    if price is None
                    else number(price) + _discount(price, getattr(getattr(origin, side), kind), ", ")
                    for price, origin in zip(prices, origins, strict=False)
                )
                shown.add_row(f"{'in' if side == 'input' else 'out'}, {kind.replace('_', ' ')}", *cells)
    console.print(shown)


def _reaches(tiers: list[PriceTier]) -> Iterable[str]:
    """Which calls each tier is for."""
    limit = None
    for tier in tiers:
        if tier.max_input_tokens:
            limit = tier.max_input_tokens
            yield f"up to {limit:,} in"
        elif "max_input_tokens" in tier._unreadable:
            yield "limit unknown"
        else:
            yield "any size" if limit is None else f"above {limit:,} in"


def _images(
    settings: Settings, name: str | None, search: str | None, sort: Sort | None, names: bool, as_json: bool
) -> None:
    """List the models that draw, or show one with the prices of its sizes."""
    lists = fetch_images(settings)
    offered = [model for models in lists.values() for model in models]
    wanted = _named(offered, name, "models --images").id if name else None
    chosen: dict[str, dict[str, ImageModel]] = {}
    for call, models in lists.items():
        for model in models:
            if wanted in (None, model.id) and (search or "").casefold() in _texts(model):
                chosen.setdefault(model.id, {})[call] = model
    if sort:
        chosen = dict(
            sorted(chosen.items(), key=lambda item: _cheapest(item[1]) if sort is Sort.price else item[0])
        )
    if as_json:
        found = {call: [each[call] for each in chosen.values() if call in each] for call in lists}
        print_json({call: [model.to_dict(mode="json") for model in found[call]] for call in lists})
    elif names:
        for id in chosen:
            write(one_line(id))
    elif wanted and chosen:
        _show_image_model(chosen[wanted])
    elif chosen:
        _show_image_models(chosen.values())
    if not chosen:
        _no_match(len({model.id for model in offered}))


def _cheapest(entries: dict[str, ImageModel]) -> Decimal:
    return min(_price(each) for model in entries.values() for each in [*model.prices, ImageSizePrice()])


def _price(each: ImageSizePrice) -> Decimal:
    return Decimal("Infinity") if each.price is None else each.price


def _show_image_models(chosen: Iterable[dict[str, ImageModel]]) -> None:
    if console.width < _NARROW:
        for entries in chosen:
            _show_image_model(entries)
        return
    shown = table("model, label", "images.", "sizes", "credits an image", "balance", "tags")
    for entries in chosen:
        model = next(iter(entries.values()))
        prices = sorted((each for each in model.prices if each.price is not None), key=_price)
        shown.add_row(
            f"[bold]{escape(model.id)}[/]\n[dim]{escape(model.label or '')}[/]",
            "\n".join(entries),
            f"{len(model.sizes)}" if model.sizes else "",
            _range(tuple(each.price for each in prices), tuple(each.origin_price for each in prices)),
            escape(model.credits_scope or ""),
            escape(", ".join(model.tags)),
        )
    console.print(shown)
    console.print("`aitoearn-openai models --images NAME` has the sizes and their prices", style="dim")


def _show_image_model(entries: dict[str, ImageModel]) -> None:
    model = next(iter(entries.values()))
    show(f"[bold]{escape(model.id)}[/]")
    _show_texts(
        ("label", model.label),
        ("balance", model.credits_scope),
        ("tags", ", ".join(model.tags)),
        ("about", "" if model.description == model.label else model.description),
    )
    for call, model in entries.items():
        console.print(f"[bold]images.{call}[/]")
        most = model.max_input_images
        _show_texts(
            ("quality", ", ".join(model.qualities)),
            ("style", ", ".join(model.styles)),
            ("takes", "" if most is None else f"up to {count(most, 'image')}"),
        )
        by_price: dict[str, list[str]] = {}
        for each in model.prices:
            if each.price is not None:
                price = number(each.price) + _discount(each.price, each.origin_price, ", ")
                by_price.setdefault(price, []).append(each.size or "any size")
        unpriced = [size for size in model.sizes if model.credits(size=size) is None]
        if unpriced:
            by_price.setdefault("no price", []).extend(unpriced)
        if by_price:
            shown = table("credits an image", "sizes")
            shown.columns[0].no_wrap = True
            for price, sizes in by_price.items():
                shown.add_row(price, escape(" ".join(sizes)))
            console.print(shown)
