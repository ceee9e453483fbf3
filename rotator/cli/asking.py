"""Questions to a person before something that can't be taken back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from rotator.cli.text import say

_YES: Final = frozenset({"y", "yes"})


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether it may be done: `--yes`, or a yes at the terminal, also where standard input was used
    up for something else. Without a terminal nobody can be asked, so nothing is done."""
    if yes:
        return True
    if not sys.stdout.isatty():
        return False
    try:
        with Path("/dev/tty").open(encoding="utf-8") as terminal:
            say(f"{question} [y/N]")
            return terminal.readline().strip().lower() in _YES
    except OSError:
        return False
