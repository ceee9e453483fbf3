"""A Dockerfile as stages of instructions that know where they stand. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rotator.domain.posture.config_file import Comment, Span

_VARIABLE: Final = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>:?[-+][^}]*)?\}|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an instruction, quotes and continuations taken out."""

    text: str = field(repr=False)
    span: Span


@dataclass(frozen=True, slots=True)
class Assignment:
    """One NAME=value of ENV, ARG or LABEL; an ARG without a default has None."""

    name: str
    value: str | None = field(repr=False)
    span: Span


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `text` is what stands behind keyword and flags, on one line.

    `body` is what its heredocs hold.
    """

    keyword: str
    flags: tuple[str, ...]
    text: str = field(repr=False)
    words: tuple[Word, ...] = field(repr=False)
    assignments: tuple[Assignment, ...]
    body: str = field(repr=False)
    span: Span

    def flag(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be there several times."""
        start = f"--{name}="
        return tuple(flag.removeprefix(start) for flag in self.flags if flag.startswith(start))


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands from one FROM to the next. `image` is as written."""

    number: int
    name: str
    image: Word
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. `arguments` are the ARGs before the first FROM."""

    path: str
    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    comments: tuple[Comment, ...] = ()

    @property
    def defaults(self) -> Mapping[str, str]:
        """What the ARGs before the first FROM are where nobody gives them."""
        values: dict[str, str] = {}
        for each in (a for argument in self.arguments for a in argument.assignments):
            value = None if each.value is None else expanded(each.value, values)
            if value is not None:
                values[each.name] = value
        return values

    def base(self, stage: Stage) -> Stage | None:
        """The earlier stage that a stage is built upon."""
        name = stage.image.text.lower()
        earlier = self.stages[: stage.number]
        return next((s for s in reversed(earlier) if s.name and s.name.lower() == name), None)

    def target(self, name: str) -> Stage:
        """The stage that is deployed: the last one, or the one of build-target."""
        by_number = int(name) if re.fullmatch(r"[0-9]{1,4}", name) else None
        for stage in self.stages:
            if name and (stage.name.lower() == name.lower() or stage.number == by_number):
                return stage
        return self.stages[-1]

    def lineage(self, stage: Stage) -> tuple[Stage, ...]:
        """A stage and those it is built upon, the oldest first."""
        chain = [stage]
        while (base := self.base(chain[0])) is not None:
            chain.insert(0, base)
        return tuple(chain)


def expanded(text: str, values: Mapping[str, str]) -> str | None:
    """A text with its variables put in; None where one has no known value."""
    unknown = False

    def put_in(match: re.Match[str]) -> str:
        nonlocal unknown
        value = values.get(match["braced"] or match["plain"])
        rest = match["rest"] or ""
        if value is None and "-" in rest[:2]:
            return rest.lstrip(":")[1:]
        if value is None or "+" in rest[:2]:
            unknown = True
            return ""
        return value

    found = _VARIABLE.sub(put_in, text)
    return None if unknown else found
