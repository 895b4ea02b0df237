"""`models`: what the service offers, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.cells import cell_len
from rich.table import Table

import aitoearn_openai as openai

from . import failures, options
from .lists import fetch, fetch_images, named
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

if TYPE_CHECKING:
    from .._models import ListedModel, PriceTier, Pricing

_LEGEND = (
    "in, out: credits per 1,000 tokens of text, a range where long calls cost more; "
    "balance: which of the account's two balances pays"
)
_IMAGES_LEGEND = "`aitoearn-openai models --images NAME` lists sizes and prices"
_TOKENS: Any = {"prompt_tokens": 1000, "completion_tokens": 500}
_EXAMPLE = "of 1,000 tokens in and 500 out"
"""The call that models are compared by."""


class Sort(str, Enum):
    """An order of the list; without one it is the service's."""

    price = "price"
    name = "name"


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=options.model_names, hidden=True),
    ] = None,
    takes: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="TYPE", help="Only models that accept this input, such as image; repeatable."
        ),
    ] = None,
    gives: Annotated[
        list[str] | None,
        typer.Option(
            "--output", metavar="TYPE", help="Only models with this output, such as image; repeatable."
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only models of this channel, such as openai.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only models with this in a name, description or tag.")
    ] = None,
    sort: Annotated[
        Sort | None,
        typer.Option(metavar="|".join(Sort), help=f"price: cheapest first, for a call {_EXAMPLE}."),
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Print names only, for scripts.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Show the models of images.generate and images.edit instead.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all fields as JSON, as the service sends them.")
    ] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """List the models, or show one with all its prices and what a call costs. Needs no key, costs nothing.

    NAME is a name or label, or a part that fits no other.

    In a pipe, each model is a line of tab-separated fields: name, label, channel, inputs, outputs, prices of input and output,
    balance, discount and tags.
    """
    settings = options.resolve(site, base_url)
    if images:
        if takes or gives or channel:
            raise typer.BadParameter("--input, --output and --channel are for chat models only")
        _images(settings, name, search, sort, names, as_json)
        return
    offered = fetch(settings)
    chosen = [named(offered, name)] if name else offered
    for option, wanted, of in (
        ("--input", takes, lambda model: model.input_modalities),
        ("--output", gives, lambda model: model.output_modalities),
        ("--channel", [channel] if channel else [], lambda model: [model.owned_by]),
    ):
        for value in wanted or []:
            chosen = _with(value, of, chosen, offered, option)
    chosen = [model for model in chosen if (search or "").casefold() in _texts(model)]
    costs = {id(model): model.credits(**_TOKENS) for model in chosen}
    if sort is Sort.price:
        chosen.sort(key=lambda model: _or_last(costs[id(model)]))
    elif sort:
        chosen.sort(key=lambda model: model.id)
    if as_json:
        entries = [model.to_dict(mode="json") for model in chosen]
        print_json(entries[0] if name and entries else entries)
    elif names:
        for model in chosen:
            write(one_line(model.id))
    elif name and chosen:
        _show(chosen[0], costs[id(chosen[0])])
    elif chosen:
        rows, legend = [_row(model) for model in chosen], _LEGEND
        if sort is Sort.price and console.is_terminal:
            legend += f"; example: credits for a call {_EXAMPLE}"
            for row, model in zip(rows, chosen, strict=True):
                cost = costs[id(model)]
                row["example"] = "" if cost is None else number(cost)
        _show_rows(rows, legend)
    if not chosen:
        _no_match(len(offered))


def _no_match(offered: int) -> NoReturn:
    text = f"none of the {offered:,} models matches" if offered > 1 else "the only model does not match"
    failures.fail(f"{text}; try fewer filters" if offered else "the list is empty", failures.NO_MATCH)


def _or_last(price: Decimal | None) -> Decimal:
    return Decimal("Infinity") if price is None else price


def _with(
    value: str,
    of: Callable[[openai.ChatModel], list[str]],
    chosen: list[openai.ChatModel],
    offered: list[openai.ChatModel],
    option: str,
) -> list[openai.ChatModel]:
    """The models that have a value among theirs, in whatever case; one that no model has is refused."""
    wanted = value.strip().casefold()
    known = {each for model in offered for each in of(model) if each}
    if not known:
        raise typer.BadParameter("the list does not say that of any model.", param_hint=option)
    if wanted not in {each.casefold() for each in known}:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(sorted(known))}.", param_hint=option)
    return [model for model in chosen if wanted in [each.casefold() for each in of(model)]]


def _texts(model: ListedModel) -> str:
    return "\n".join([model.id, model.label or "", model.description or "", *model.tags]).casefold()


def _row(model: openai.ChatModel) -> dict[str, str]:
    """A model in the list, by column."""
    before, after = prices(model.pricing)
    return {
        "model": model.id,
        "label": model.label or "",
        "channel": model.owned_by,
        "takes": " ".join(model.input_modalities),
        "gives": " ".join(model.output_modalities),
        "in": before,
        "out": after,
        "balance": model.credits_scope or "",
        "off": ", ".join(_discounts(model.pricing)),
        "tags": ", ".join(model.tags),
    }


def _show_rows(rows: list[dict[str, str]], legend: str) -> None:
    """A line for each model where a program reads it; on a terminal a table, or a list where it is too narrow for one."""
    if not console.is_terminal:
        for row in rows:
            write("\t".join(map(one_line, row.values())))
        return
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    for column in ("", "label", "channel"):  # Those that say least are left out first.
        columns = [name for name in columns if name != column]
        made = _table(rows, columns)
        width = console.measure(made, options=console.options.update(width=1000))
        if width.maximum <= console.width:
            break
    if width.minimum <= console.width:
        console.print(made)
    else:
        for row in rows:
            show_about(row["model"], row)
    show(legend, style="dim")


def _table(rows: list[dict[str, str]], columns: list[str]) -> Table:
    shown = table(*columns)
    shown.show_edge, shown.padding = False, (0, 0, 0, 0)
    cells = {name: [escape(row[name]) for row in rows] for name in columns}
    for column in shown.columns:
        name = str(column.header)
        column.style = "bold" if name == "model" else ""
        if name in ("in", "out", "example"):
            cells[name] = _aligned(cells[name])
        if name in ("model", "in", "out", "balance", "example"):
            column.no_wrap, column.min_width = True, max(map(cell_len, cells[name]))
    for row in zip(*cells.values(), strict=True):
        shown.add_row(*row)
    return shown


def _aligned(cells: list[str]) -> list[str]:
    """Prices with their decimal points below each other."""
    digits = [re.sub(r"\D.*", "", cell) for cell in cells]
    most = max(map(len, digits))
    return [" " * (most - len(each)) * bool(each) + cell for cell, each in zip(cells, digits, strict=True)]


def prices(pricing: Pricing | None) -> tuple[str, str]:
    """The prices of input and output, in credits per 1,000 tokens or for a call."""
    if pricing is None:
        return "", ""
    if pricing.price is not None and not pricing.tiers:
        return f"{number(pricing.price)} a call", ""
    return _range(tier.input.text for tier in pricing.tiers), _range(
        tier.output.text for tier in pricing.tiers
    )


def _range(prices: Iterable[Decimal | None]) -> str:
    known = [number(price) for price in prices if price is not None]
    return " - ".join(dict.fromkeys([*known[:1], *known[-1:]]))


def _discounts(pricing: Pricing | None) -> list[str]:
    """What is taken off the prices of short calls."""
    if pricing is None:
        return []
    if pricing.price is not None and not pricing.tiers:
        return [*filter(None, [_discount(pricing.price, pricing.origin_price)])]
    now, before = (
        each.tiers[0] if each and each.tiers else None for each in (pricing, pricing.origin_pricing)
    )
    if not now or not before:
        return []
    sides = ("in", now.input.text, before.input.text), ("out", now.output.text, before.output.text)
    return [f"{side} {discount}" for side, *both in sides if (discount := _discount(*both))]


def _discount(price: Decimal | None, before: Decimal | None) -> str:
    if price is None or before is None or not 0 <= price < before or before.adjusted() >= DIGITS:
        return ""
    percent = min(99, round(100 * (1 - price / before))) if price else 100
    return f"{percent}%" if percent else ""


def _priced(price: Decimal, before: Decimal | None) -> str:
    discount = _discount(price, before)
    return f"{number(price)}, {discount} off" if discount else number(price)


def show_about(name: str, texts: Mapping[str, str | None]) -> None:
    """A model, and below it what is known of it."""
    show(f"[bold]{escape(name)}[/]")
    for what, text in texts.items():
        if text and text != name:
            show(f"  [dim]{what:8}[/] {escape(text)}")


def _show(model: openai.ChatModel, cost: Decimal | None) -> None:
    about = _row(model)
    for shown_below in ("in", "out", "off", "tags"):
        del about[shown_below]
    if model.description != model.label:
        about["about"] = model.description or ""
    show_about(model.id, {**about, "scenes": ", ".join(model.scenes), "tags": ", ".join(model.tags)})
    pricing = model.pricing
    if pricing and pricing.tiers:
        _show_tiers(pricing)
    for image in model.fixed_image_pricing:
        if image.price is not None:
            show(
                f"An image of {escape(image.resolution or 'any size')} costs {credits_text({None: image.price})}."
            )
    price = "has no price in the list" if cost is None else f"costs [bold]{credits_text({None: cost})}[/]"
    if pricing and pricing.price is not None and pricing.tiers:
        price = "has two prices in the list, by call and by token"
    elif pricing and pricing.price is not None and cost is not None:
        show(f"A call {price}{''.join(f', {each} off' for each in _discounts(pricing))}, whatever its size.")
        return
    show(f"A call {_EXAMPLE} {price}.")


def _show_tiers(pricing: Pricing) -> None:
    """Each kind of token in a row, each tier in a column."""
    shown = table("credits per 1,000 tokens", *_reaches(pricing.tiers))
    before = pricing.origin_pricing.tiers if pricing.origin_pricing else []
    for side in ("input", "output"):
        for kind in type(pricing.tiers[0].input).model_fields:
            now, then = (
                [getattr(getattr(tier, side), kind) for tier in tiers] for tiers in (pricing.tiers, before)
            )
            if any(price is not None for price in now):
                pairs = zip_longest(now, then[: len(now)])
                cells = ("" if price is None else _priced(price, origin) for price, origin in pairs)
                shown.add_row(f"{side.removesuffix('put')}, {kind.replace('_', ' ')}", *cells)
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
    settings: openai.Settings,
    name: str | None,
    search: str | None,
    sort: Sort | None,
    names: bool,
    as_json: bool,
) -> None:
    """List the models that draw, or show one with the prices of its sizes."""
    lists = fetch_images(settings)
    offered = [model for models in lists.values() for model in models]
    wanted = named(offered, name).id if name else None
    chosen: dict[str, dict[str, openai.ImageModel]] = {}
    for call, models in lists.items():
        for model in models:
            if wanted in (None, model.id) and (search or "").casefold() in _texts(model):
                chosen.setdefault(model.id, {})[call] = model
    if sort is Sort.price:
        chosen = dict(sorted(chosen.items(), key=lambda item: min(map(_or_last, _image_prices(item[1])))))
    elif sort:
        chosen = dict(sorted(chosen.items()))
    if as_json:
        found = {call: [each[call] for each in chosen.values() if call in each] for call in lists}
        print_json({call: [model.to_dict(mode="json") for model in found[call]] for call in lists})
    elif names:
        for id in chosen:
            write(one_line(id))
    elif wanted and chosen:
        _show_image_model(chosen[wanted])
    elif chosen:
        _show_rows([_image_row(entries) for entries in chosen.values()], _IMAGES_LEGEND)
    if not chosen:
        _no_match(len({model.id for model in offered}))


def _image_prices(entries: dict[str, openai.ImageModel]) -> list[Decimal | None]:
    return [None, *(each.price for model in entries.values() for each in model.prices)]


def _image_row(entries: dict[str, openai.ImageModel]) -> dict[str, str]:
    model = next(iter(entries.values()))
    listed = sorted(
        (each for each in model.prices if each.price is not None), key=lambda each: _or_last(each.price)
    )
    discounts = [_discount(each.price, each.origin_price) for each in listed[:1]]
    return {
        "model": model.id,
        "label": model.label or "",
        "images.": " ".join(entries),
        "sizes": str(len(model.sizes) or ""),
        "credits an image": _range(each.price for each in listed),
        "balance": model.credits_scope or "",
        "off": ", ".join(discounts),
        "tags": ", ".join(model.tags),
    }


def _show_image_model(entries: dict[str, openai.ImageModel]) -> None:
    model = next(iter(entries.values()))
    about = {"label": model.label, "balance": model.credits_scope, "tags": ", ".join(model.tags)}
    show_about(model.id, {**about, "about": "" if model.description == model.label else model.description})
    for call, model in entries.items():
        most = model.max_input_images
        show_about(
            f"images.{call}",
            {
                "quality": ", ".join(model.qualities),
                "style": ", ".join(model.styles),
                "takes": "" if most is None else f"up to {count(most, 'image')}",
            },
        )
        by_price: dict[str, list[str]] = {}
        for each in model.prices:
            if each.price is not None:
                by_price.setdefault(_priced(each.price, each.origin_price), []).append(
                    each.size or "any size"
                )
        if unpriced := [size for size in model.sizes if model.credits(size=size) is None]:
            by_price.setdefault("no price", []).extend(unpriced)
        if by_price:
            shown = table("credits an image", "sizes")
            shown.columns[0].no_wrap = True
            for price, sizes in by_price.items():
                shown.add_row(price, escape(" ".join(sizes)))
            console.print(shown)
