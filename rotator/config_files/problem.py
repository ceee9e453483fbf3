"""What is wrong in a file, and where."""

from __future__ import annotations


class FileProblem(Exception):
    """A text is not of its form. Never quotes the text: it may hold a secret."""

    def __init__(self, what: str, line: int, column: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.column = column
