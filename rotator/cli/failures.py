"""Errors for people: one line on standard error, and the exit code."""

from __future__ import annotations

import sys
from typing import Final

from rotator.domain.errors import RotatorError

FAILED: Final = 1
PARTLY: Final = 3
INTERRUPTED: Final = 130


def explain(error: BaseException) -> int:
    """Print what went wrong and give the exit code. No traceback reaches a user."""
    if isinstance(error, BaseExceptionGroup):
        return max(explain(inner) for inner in error.exceptions)
    if isinstance(error, RotatorError):
        for line in str(error).splitlines():
            _say(line)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror.lower()}")
        return FAILED
    if isinstance(error, ModuleNotFoundError):
        _say(
            f"this command needs the module {error.name}, which is not installed; "
            "install rotator[simulator]"
        )
        return FAILED
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" in {frame.tb_frame.f_globals.get('__name__')}:{frame.tb_lineno}" if frame else ""
    _say(
        f"an error inside rotator: {type(error).__name__}{place}; "
        "nothing was lost, the journal has all that was begun. Please report it"
    )
    return FAILED


def _say(line: str) -> None:
    print(f"rotator: {line}", file=sys.stderr)  # noqa: T201
