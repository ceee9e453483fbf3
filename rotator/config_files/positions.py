"""From an offset in a text to line and column."""

from __future__ import annotations

from bisect import bisect_right

from rotator.domain.posture.config_file import Span


class Lines:
    """The beginnings of a text's lines. A line ends with a line feed, as editors count."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """The stretch between two offsets."""
        return Span(*self.place(start), *self.place(end))
