"""Errors that nobody caught: in a thread, a task, a finaliser. One line each, without a traceback
and so without what stood in variables."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import asyncio


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """Take the interpreter's hooks until the end of the block."""
    before = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    sys.excepthook, threading.excepthook = _uncaught, _in_thread
    sys.unraisablehook, warnings.showwarning = _unraisable, _warned
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = before


def tell_of_task(_loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """For the event loop: a task or a callback that failed with nobody waiting for it."""
    error = context.get("exception")
    _say(f"{context.get('message', 'a task failed')}{_place(error)}")


def _uncaught(
    _kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    from rotator.cli.failures import explain

    explain(error)


def _in_thread(crash: threading.ExceptHookArgs, /) -> None:
    if crash.exc_type is not SystemExit:
        name = crash.thread.name if crash.thread else "a thread"
        _say(f"{name} ended early{_place(crash.exc_value)}")


def _unraisable(crash: Any, /) -> None:
    _say(f"an error while something was cleared away{_place(crash.exc_value)}")


def _warned(  # noqa: PLR0917
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the interpreter's form
    line: str | None = None,  # noqa: ARG001
) -> None:
    _say(f"warning: {message} ({category.__name__} in {filename}:{lineno})")


def _place(error: BaseException | None) -> str:
    """What it was and where, without its words: those may be anybody's."""
    if error is None:
        return ""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" in {frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}" if frame else ""
    return f": {type(error).__name__}{where}"


def _say(line: str) -> None:
    print(f"rotator: {line}", file=sys.stderr)  # noqa: T201
