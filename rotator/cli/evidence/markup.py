"""Elements of HTML and SVG as text. Whatever is not `Markup` already is escaped."""

from __future__ import annotations

from html import escape
from typing import Final, TypeAlias

VOID: Final = frozenset({"meta", "br", "hr", "col"})


class Markup(str):
    """Text that is markup: nothing in it is escaped again."""

    __slots__ = ()


Child: TypeAlias = str | int | None
Attribute: TypeAlias = str | int | float | None


def el(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `class_` and `data_sort` are written `class` and `data-sort`; None leaves an
    attribute or a child out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Children side by side."""
    return Markup("".join(_safe(child) for child in children if child is not None))


def _safe(child: str | int) -> str:
    return child if isinstance(child, Markup) else escape(str(child))


def _number(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
