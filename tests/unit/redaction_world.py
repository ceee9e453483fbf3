"""A process's outputs, held in memory: what a value could come out by."""

from __future__ import annotations

import base64
import html
import io
import logging
import re
import sys
import urllib.parse
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from rotator import logs
from rotator.cli.crashes import told_in_a_line
from rotator.cli.guarding import guarded
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.rotation import Actor
from rotator.redaction import kept_event
from rotator.settings import LogFormat

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_PIECE = 11
"""What may be left of a value: less than a window."""


class Stream(io.StringIO):
    """A stream that is no terminal."""

    encoding = "utf-8"
    errors = "backslashreplace"


@dataclass
class World:
    """Where things are put. Logs have a stream of their own, without a guard before it."""

    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)
    log_lines: Stream = field(default_factory=Stream)
    kept: list[str] = field(default_factory=list)

    @property
    def log(self) -> Any:
        """A logger."""
        return structlog.get_logger("rotator.test")

    def event(self, reason: str = "", **detail: str) -> None:
        """Keep an event."""
        event = Event(
            Action.STEP_FAILED, Outcome.FAILED, Actor("user", "ann"), NOW, reason=reason,
            detail=detail,
        )  # fmt: skip
        self.kept.append(repr(kept_event(event)))

    def told(self) -> str:
        """All that came out."""
        sys.stdout.flush()
        sys.stderr.flush()
        streams = (self.stdout, self.stderr, self.log_lines)
        return "\n".join([*(stream.getvalue() for stream in streams), *self.kept])


@contextmanager
def a_world(*, as_json: bool = True) -> Iterator[World]:
    """A process that has just begun; everything is put back as it was."""
    world = World()
    with ExitStack() as stack:
        stack.callback(_restored_logs())
        stack.enter_context(_streams(world.stdout, world.log_lines))
        logs.configure_logs(LogFormat.JSON if as_json else LogFormat.CONSOLE, "debug")
        sys.stderr = world.stderr
        stack.enter_context(guarded())
        stack.enter_context(told_in_a_line())
        yield world


@contextmanager
def _streams(stdout: Stream, stderr: Stream) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _restored_logs() -> Any:
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level, shown = root.handlers, root.level, warnings.showwarning
    quiet = {name: logging.getLogger(name).level for name in logs._QUIET}

    def restore() -> None:
        logging.captureWarnings(capture=False)
        warnings.showwarning = shown
        root.handlers, root.level = handlers, level
        for name, each in quiet.items():
            logging.getLogger(name).setLevel(each)
        structlog.configure(**before)

    return restore


def pieces(told: str, value: str) -> list[str]:
    """The parts of a value, longer than is allowed, that were told, in whatever form."""
    flat, wanted = "\0".join(map(squeezed, readings(told))), squeezed(value)
    size = LONGEST_PIECE + 1
    found = range(max(1, len(wanted) - size + 1))
    return [wanted[at : at + size] for at in found if wanted[at : at + size] in flat]


def readings(told: str) -> Iterator[str]:
    """A text as it stands, and as a curious reader would take it apart."""
    yield told
    yield urllib.parse.unquote_plus(told)
    yield html.unescape(told)
    yield re.sub(r"\\(u[0-9a-f]{4}|x[0-9a-f]{2}|.)", _unescaped, told)
    for run in re.findall(r"(?:[0-9a-fA-F]{2}){12,}", told):
        yield bytes.fromhex(run).decode("utf-8", "replace")
    for run in re.findall(r"[A-Za-z0-9+/_-]{16,}", told):
        for start in range(4):
            part = run[start:].replace("-", "+").replace("_", "/")
            part = part[: len(part) // 4 * 4]
            yield base64.b64decode(part).decode("utf-8", "replace")


def _unescaped(found: re.Match[str]) -> str:
    escape = found[1]
    return chr(int(escape[1:], 16)) if escape[0] in "ux" and len(escape) > 1 else escape


def squeezed(text: str) -> str:
    """Without white space, and without the lines that tables are drawn with."""
    return re.sub(r"[\s│┃|]+|\\n", "", text)
