"""A Dockerfile's text as stages and instructions, by Docker's own reference.

Directives, comments, continuations with either escape character, heredocs, both forms of ENV,
flags, and several stages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rotator.config_files.positions import Lines
from rotator.config_files.problem import FileProblem
from rotator.domain.posture.config_file import Comment, Span
from rotator.domain.posture.dockerfile import Assignment, Dockerfile, Instruction, Stage, Word
from rotator.domain.posture.words import words

_DIRECTIVE: Final = re.compile(r"#[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(\S.*?)[ \t]*\r?\n?$")
_KEYWORD: Final = re.compile(r"[ \t]*([A-Za-z]+)(?=[ \t]|$)")
_FLAG: Final = re.compile(r"[ \t]*(--[a-z][a-z.-]*(?:=(?:\"[^\"]*\"|\S)*)?)(?=[ \t]|$)")
_HEREDOC: Final = re.compile(r"[0-9]*<<(-?)([\"']?)([^\s\"'<]+)\2")
_NAME: Final = re.compile(r"[^\s=]+")

_KEYWORDS: Final = words(
    """
    ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL
    STOPSIGNAL USER VOLUME WORKDIR
    """
)
_FLAGGED: Final = frozenset({"ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"})
_HEREDOCS: Final = frozenset({"ADD", "COPY", "RUN"})
_ASSIGNING: Final = frozenset({"ARG", "ENV", "LABEL"})


def read_dockerfile(text: str, path: str) -> Dockerfile:
    """The file of a text. Raises FileProblem where Docker would refuse it."""
    arguments: list[Instruction] = []
    stages: list[tuple[Instruction, list[Instruction]]] = []
    reader = _Reader(text)
    for instruction in reader.instructions():
        if instruction.keyword == "FROM":
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif instruction.keyword == "ARG":
            arguments.append(instruction)
        else:
            raise _problem("the first instruction has to be FROM or ARG", instruction.span)
    if not stages:
        raise FileProblem("there is no FROM", 1, 1)
    made = tuple(_stage(number, start, rest) for number, (start, rest) in enumerate(stages))
    return Dockerfile(path, tuple(arguments), made, tuple(reader.comments))


def _stage(number: int, start: Instruction, rest: list[Instruction]) -> Stage:
    split = start.words
    named = len(split) == 3 and split[1].text.upper() == "AS"
    if len(split) != 1 and not named:
        raise _problem("FROM takes an image, or an image AS a name", start.span)
    return Stage(number, split[2].text if named else "", split[0], tuple(rest))


def _problem(what: str, span: Span) -> FileProblem:
    return FileProblem(what, span.line, span.column)


@dataclass(frozen=True)
class _Logical:
    """An instruction on one line; `offsets` says where each of its characters comes from."""

    text: str
    offsets: tuple[int, ...]
    end: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._at = 0
        self._escape = "\\"
        self.comments: list[Comment] = []

    def instructions(self) -> Iterator[Instruction]:
        """Every instruction in the order of the file."""
        self._directives()
        while self._at < len(self._text):
            line = self._line()
            if not line.strip() or line.lstrip().startswith("#"):
                self._comment(line)
                self._at += len(line)
                continue
            yield self._instruction(self._logical())

    def _line(self) -> str:
        end = self._text.find("\n", self._at)
        return self._text[self._at : end + 1 if end >= 0 else len(self._text)]

    def _comment(self, line: str) -> None:
        """Keep the comment that the line at this place is."""
        start = self._at + line.find("#") + 1
        end = self._at + len(line.rstrip())
        if "#" in line:
            self.comments.append(Comment(self._text[start:end], self._lines.span(start - 1, end)))

    def _directives(self) -> None:
        while (match := _DIRECTIVE.match(self._line())) is not None:
            if match[1].lower() == "escape":
                if match[2] not in ("\\", "`"):
                    raise FileProblem("escape takes \\ or `", *self._lines.place(self._at))
                self._escape = match[2]
            self._at += len(self._line())

    def _logical(self) -> _Logical:
        text: list[str] = []
        offsets: list[int] = []
        goes_on = True
        end = self._at
        while goes_on and self._at < len(self._text):
            line = self._line()
            start = self._at
            self._at += len(line)
            bare = line.rstrip("\r\n")
            if text and (not bare.strip() or bare.lstrip().startswith("#")):
                self._at = start
                self._comment(line)
                self._at += len(line)
                continue
            kept = bare.rstrip()
            goes_on = kept.endswith(self._escape)
            if goes_on:
                kept = kept[:-1]
            text.extend(kept)
            offsets.extend(range(start, start + len(kept)))
            end = start + len(kept)
        return _Logical("".join(text), (*offsets, end), end)

    def _span(self, logical: _Logical, start: int, end: int) -> Span:
        last = logical.offsets[end - 1] + 1 if end > start else logical.offsets[start]
        return self._lines.span(logical.offsets[start], last)

    def _instruction(self, logical: _Logical) -> Instruction:
        text = logical.text
        match = _KEYWORD.match(text)
        start = len(text) - len(text.lstrip())
        span = self._span(logical, start, len(text.rstrip()))
        if match is None or match[1].upper() not in _KEYWORDS:
            raise _problem("it is no instruction of a Dockerfile", span)
        keyword, at = match[1].upper(), match.end()
        if keyword == "ONBUILD":
            return self._instruction(_Logical(text[at:], logical.offsets[at:], logical.end))
        flags: list[str] = []
        while keyword in _FLAGGED and (flag := _FLAG.match(text, at)) is not None:
            flags.append(flag[1])
            at = flag.end()
        split = tuple(self._words(logical, at))
        assignments: tuple[Assignment, ...] = ()
        if keyword in _ASSIGNING:
            assignments = self._assignments(keyword, logical, at, span)
        body = self._bodies(logical, at, span) if keyword in _HEREDOCS else ""
        rest = text[at:].strip()
        return Instruction(keyword, tuple(flags), rest, split, assignments, body, span)

    def _words(self, logical: _Logical, at: int) -> Iterator[Word]:
        while at < len(logical.text):
            if logical.text[at] in " \t":
                at += 1
                continue
            end, word = self._word(logical.text, at)
            yield Word(word, self._span(logical, at, end))
            at = end

    def _word(self, text: str, at: int) -> tuple[int, str]:
        """The end of the word that begins at an offset, and the word without its quotes."""
        kept: list[str] = []
        quote = ""
        while at < len(text):
            char = text[at]
            if char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            elif char == self._escape and quote != "'" and at + 1 < len(text):
                at += 1
                kept.append(text[at])
            elif not quote and char in " \t":
                break
            else:
                kept.append(char)
            at += 1
        return at, "".join(kept)

    def _assignments(
        self, keyword: str, logical: _Logical, at: int, span: Span
    ) -> tuple[Assignment, ...]:
        rest = logical.text[at:]
        first = at + len(rest) - len(rest.lstrip())
        name = _NAME.match(logical.text, first)
        if name is None:
            raise _problem(f"{keyword} takes a name", span)
        if keyword != "ARG" and logical.text[name.end() : name.end() + 1] != "=":
            value = logical.text[name.end() :].strip()
            if not value:
                raise _problem(f"{keyword} takes a name and a value", span)
            end = len(logical.text.rstrip())
            return (Assignment(name[0], value, self._span(logical, first, end)),)
        found = []
        for word in self._words(logical, at):
            key, equals, value = word.text.partition("=")
            if keyword != "ARG" and not equals:
                raise _problem(f"{keyword} takes NAME=value", word.span)
            found.append(Assignment(key, value if equals else None, word.span))
        return tuple(found)

    def _heredocs(self, text: str, at: int) -> Iterator[re.Match[str]]:
        """The words that open a heredoc; one in quotes, or with something before it, opens none."""
        while at < len(text):
            if text[at] in " \t":
                at += 1
                continue
            end, _ = self._word(text, at)
            match = _HEREDOC.fullmatch(text, at, end)
            if match is not None:
                yield match
            at = end

    def _bodies(self, logical: _Logical, at: int, span: Span) -> str:
        """What the heredocs of a line hold; stops behind the last one."""
        bodies: list[str] = []
        for match in self._heredocs(logical.text, at):
            start = self._at
            while True:
                if self._at >= len(self._text):
                    raise _problem("a heredoc has no end", span)
                line = self._line()
                before = self._at
                self._at += len(line)
                bare = line.rstrip("\r\n")
                if (bare.lstrip("\t") if match[1] else bare) == match[3]:
                    bodies.append(self._text[start:before])
                    break
        return "".join(bodies)
