"""What answers took: tokens as they were counted, and credits by the prices of the list."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .screen import DIGITS, count, credits_text, whole

if TYPE_CHECKING:
    from .. import ChatModel


class Bill:
    """A sum over answers."""

    def __init__(self) -> None:
        self.tokens_in = self.tokens_out = self.unpriced = 0
        self.credits: dict[str | None, Decimal] = {}
        """For each of the account's balances."""

    def add(self, usage: Any, model: ChatModel | None) -> None:
        """Count an answer."""
        tokens_in, tokens_out = (
            whole(getattr(usage, f"{kind}_tokens", 0)) for kind in ("prompt", "completion")
        )
        self.charge(tokens_in, tokens_out, model, model.credits(usage) if model else None)

    def charge(self, tokens_in: int, tokens_out: int, model: ChatModel | None, cost: Decimal | None) -> None:
        """Count an answer of so many tokens."""
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        # A sum of numbers such as 9E+999999 would be an exception, or a million digits to show.
        if model is None or cost is None or cost.adjusted() >= DIGITS:
            self.unpriced += 1
        else:
            self.credits[model.credits_scope] = self.credits.get(model.credits_scope, Decimal(0)) + cost

    def __str__(self) -> str:
        parts = []
        if self.tokens_in or self.tokens_out or not self.unpriced:
            parts.append(f"{count(self.tokens_in, 'token')} in, {self.tokens_out:,} out")
        if self.credits or not self.unpriced:
            parts.append(f"about {credits_text(self.credits)} (list price)")
        if self.unpriced:
            parts.append(f"the cost of {count(self.unpriced, 'answer')} is not known")
        return ", ".join(parts)
