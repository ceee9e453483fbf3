"""A console that takes values out of texts before it lays them out: folded over the lines of a
cell, a value would not be known again."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from rotator.redaction import scrubbed


class GuardedConsole(Console):
    """Everything that is printed, cells of tables too, comes through `render`."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable."""
        if isinstance(renderable, Text):
            clean = scrubbed(renderable.plain)
            if clean != renderable.plain:
                renderable = Text(clean, renderable.style, justify=renderable.justify)
        elif isinstance(renderable, str):
            renderable = scrubbed(renderable)
        return super().render(renderable, options)
