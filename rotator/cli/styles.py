"""The colours of states. They only repeat what the words say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_STYLES: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "healthy": "green",
    "replaced": "green",
    "rehearsed": "green",
    "done": "green",
    "up-to-date": "green",
    "asleep": "cyan",
    "at-next-start": "cyan",
    "retiring": "cyan",
    "running": "yellow",
    "paused": "bold yellow",
    "waiting": "yellow",
    "partial": "yellow",
    "failed": "bold red",
    "parked": "bold red",
    "rolled_back": "bold red",
    "unreachable": "red",
    "observed": "cyan",
    "planned": "dim",
    "left-out": "dim",
    "abandoned": "dim",
}


def state_style(word: str) -> str:
    """The colour of a state, or nothing."""
    return _STYLES.get(word, "")


def styled(word: str) -> str:
    """A state in its colour, as rich's markup."""
    style = _STYLES.get(word)
    return f"[{style}]{word}[/{style}]" if style else word
