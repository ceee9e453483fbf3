"""All that is wrong with a manifest, each with its place and an example of what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.domain.errors import InputError
from rotator.manifest.locate import Path, line_of


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `field` is the dotted path, `example` a line that would do."""

    file: str
    line: int
    field: str
    message: str
    example: str | None = None

    def __str__(self) -> str:
        example = f"; for example: {self.example}" if self.example else ""
        return f"{self.file}:{self.line}: {self.field}: {self.message}{example}"


class ManifestError(InputError):
    """A manifest that can't be taken, with every problem that was found in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Problems:
    """Collects problems of one file."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file = file
        self._lines = lines
        self.found: list[Problem] = []

    def add(self, path: Path, message: str, example: str | None = None) -> None:
        """Note a problem at a path."""
        field = _dotted(path) or "manifest"
        problem = Problem(self._file, line_of(self._lines, path), field, message, example)
        if problem not in self.found:
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raise `ManifestError` with all problems in the order of their lines."""
        if self.found:
            raise ManifestError(tuple(sorted(self.found, key=lambda p: p.line)))


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
