"""`models`: what the service offers, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

import aitoearn_openai as openai

from . import failures, options
from .lists import containing, fetch_lists, matching
from .screen import console, count, credits_text, escape, number, one_line, print_json, show, table, write

if TYPE_CHECKING:
    from decimal import Decimal

    from .._models import ListedModel, PriceTier, Pricing

_LEGEND = (
    "in, out: credits per 1,000 tokens of text, a range where long calls cost more; "
    "balance: which of the account's two balances pays"
)
_IMAGES_LEGEND = "credits: for an image; `aitoearn-openai models --images NAME` lists all sizes and prices"


def models(
    name: Annotated[
        str | None, Argument(metavar="NAME", autocompletion=options.model_names, hidden=True)
    ] = None,
    takes: Annotated[
        list[str] | None, Option("--input", metavar="TYPE", help="Only models that take this; repeatable.")
    ] = None,
    gives: Annotated[
        list[str] | None, Option("--output", metavar="TYPE", help="Only models that give this; repeatable.")
    ] = None,
    channel: Annotated[str | None, Option(metavar="NAME", help="Only models of this channel.")] = None,
    images: Annotated[
        bool, Option("--images", help="The models of images.generate and images.edit.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON, with all that the service says.")] = False,
    site: options.Site = None,
    base_url: options.BaseUrl = None,
) -> None:
    """List the models, or show one with all its prices and what a call costs. Needs no key, costs nothing.

    NAME is a name or label, or a part of it; a part that fits several lists these.

    In a pipe, each model is a line of tab-separated fields: name, label, channel, inputs, outputs, prices of input and output,
    balance and tags; with --images name, label, method, number of sizes, credits, balance and tags.
    """
    settings = options.resolve(site, base_url)
    if images and (takes or gives or channel):
        raise typer.BadParameter("--input, --output and --channel are for chat models only")
    lists = fetch_lists(settings, images=images)
    for wanted in takes or []:
        lists = _having(lists, "--input", wanted, lambda model: model.input_modalities)
    for wanted in gives or []:
        lists = _having(lists, "--output", wanted, lambda model: model.output_modalities)
    if channel:
        lists = _having(lists, "--channel", channel, lambda model: [model.owned_by])
    offered = [model for each in lists.values() for model in each]
    if name:
        found = matching(offered, name)
        names = (
            {found.id} if not isinstance(found, str) else {model.id for model in containing(offered, name)}
        )
        if not names:
            failures.fail(f"{found}. `aitoearn-openai models` lists them", failures.USAGE)
        lists = {call: [model for model in each if model.id in names] for call, each in lists.items()}
        name = name if len(names) == 1 else None
    if as_json:
        entries = {call: [model.to_dict(mode="json") for model in each] for call, each in lists.items()}
        only = entries.get("chat", [])
        print_json(entries if images else only[0] if name else only)
    elif not offered:
        failures.fail("the list is empty", failures.NO_MATCH)
    elif name:
        for call, each in lists.items():
            for model in each:
                _show(call, model)
    else:
        _show_list(lists)


def _having(
    lists: dict[str, list[Any]], option: str, wanted: str, of: Callable[[Any], list[str]]
) -> dict[str, list[Any]]:
    """The models that have a value among theirs, in whatever case; one that no model has is refused."""
    having = [model for model in lists["chat"] if wanted.casefold() in map(str.casefold, of(model))]
    if not having:
        known = ", ".join(sorted({value for model in lists["chat"] for value in of(model) if value}))
        raise typer.BadParameter(f"no model has {wanted!r}; there is: {known}.", param_hint=option)
    return {"chat": having}


def _row(call: str, model: Any) -> dict[str, str]:
    """A model in the list, by column."""
    row = {"model": model.id, "label": model.label or ""}
    if isinstance(model, openai.ChatModel):
        row["channel"] = model.owned_by
        row["takes"] = " ".join(model.input_modalities)
        row["gives"] = " ".join(model.output_modalities)
        row["in"], row["out"] = _prices(model.pricing)
    else:
        row["images."] = call
        row["sizes"] = str(len(model.sizes) or "")
        row["credits"] = _range(sorted(each.price for each in model.prices if each.price is not None))
    return {**row, "balance": model.credits_scope or "", "tags": ", ".join(model.tags)}


def _prices(pricing: Pricing | None) -> tuple[str, str]:
    """The prices of input and output, in credits per 1,000 tokens or for a call."""
    tiers = pricing.tiers if pricing else []
    if pricing and pricing.price is not None and not tiers:
        return f"{number(pricing.price)}/call", ""
    return _range(tier.input.text for tier in tiers), _range(tier.output.text for tier in tiers)


def _range(prices: Iterable[Decimal | None]) -> str:
    given = [number(price) for price in prices if price is not None]
    return "-".join(dict.fromkeys([*given[:1], *given[-1:]]))


def _show_list(lists: Mapping[str, Sequence[ListedModel]]) -> None:
    """A line for each model where a program reads it; on a terminal a table, or a list where it is too narrow for one."""
    rows = [_row(call, model) for call, each in lists.items() for model in each]
    if not console.is_terminal:
        for row in rows:
            write("\t".join(map(one_line, row.values())))
        return
    columns = [
        name for name in rows[0] if name not in ("label", "channel") and any(row[name] for row in rows)
    ]
    cells = ([row[name] for name in columns] for row in rows)
    made = table(columns, cells, whole=("model", "in", "out", "balance"))
    made.columns[0].style, made.show_edge = "bold", False
    if console.measure(made, options=console.options.update(width=1000)).minimum <= console.width:
        console.print(made)
    else:
        for row in rows:
            _show_about(row)
    show(_LEGEND if "chat" in lists else _IMAGES_LEGEND, style="dim")


def _show_about(row: Mapping[str, str]) -> None:
    """A model, and below it what is known of it."""
    show(f"[bold]{escape(row['model'])}[/]")
    for what, text in row.items():
        if text and text != row["model"]:
            show(f"  [dim]{what:8}[/] {escape(text)}")


def _show(call: str, model: Any) -> None:
    """All that the list says of a model."""
    about = _row(call, model)
    if model.description != model.label:
        about["about"] = model.description or ""
    if isinstance(model, openai.ChatModel):
        _show_about({**about, "scenes": ", ".join(model.scenes)})
        if model.pricing and model.pricing.tiers:
            _show_tiers(model.pricing.tiers)
        for image in model.fixed_image_pricing:
            if image.price is not None:
                size = escape(image.resolution or "any size")
                show(f"An image of {size} costs {credits_text({model.credits_scope: image.price})}.")
        cost = model.credits(prompt_tokens=1000, completion_tokens=500)
        price = "no clear price in the list" if cost is None else credits_text({model.credits_scope: cost})
        show(f"A call of 1,000 tokens in and 500 out: {escape(price)}.")
        return
    about |= {"quality": ", ".join(model.qualities), "style": ", ".join(model.styles)}
    if model.max_input_images is not None:
        about["takes"] = f"up to {count(model.max_input_images, 'image')}"
    _show_about(about)
    by_price: dict[str, list[str]] = {}
    for size in dict.fromkeys([*(each.size for each in model.prices), *model.sizes]):
        cost = model.credits(size=size)
        by_price.setdefault("no price" if cost is None else number(cost), []).append(size or "any size")
    if by_price:
        rows = ((price, " ".join(sizes)) for price, sizes in by_price.items())
        console.print(table(["credits an image", "sizes"], rows))


def _show_tiers(tiers: list[PriceTier]) -> None:
    """Each kind of token in a row, each tier in a column."""
    rows = []
    for side in ("input", "output"):
        for kind in type(tiers[0].input).model_fields:
            prices = [getattr(getattr(tier, side), kind) for tier in tiers]
            if any(price is not None for price in prices):
                cells = ("" if price is None else number(price) for price in prices)
                rows.append([f"{side.removesuffix('put')}, {kind.replace('_', ' ')}", *cells])
    limits = [tier.max_input_tokens for tier in tiers]
    reaches = [f"up to {limit:,} in" if limit else "no limit told" for limit in limits]
    console.print(table(["credits per 1,000 tokens", *reaches], rows))
