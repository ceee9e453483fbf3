"""Where this process keeps values out of what it writes: logs, events, errors, output.

`watching` makes it know every value that becomes a `Secret`, and those of the settings; without it
(in a library, in a simulated world) values are found by their look and their name alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rotator.domain.redaction import HeldValues, Scrubber, kept_text
from rotator.domain.secret import Secret

if TYPE_CHECKING:
    from rotator.domain.events import Event

KEY_BYTES = 32

_scrubber = Scrubber()


@contextmanager
def watching() -> Iterator[HeldValues]:
    """Know the values that pass through this process, until the end of the block."""
    global _scrubber  # one for the process, as its output is
    before, watcher = _scrubber, Secret.watcher
    held = HeldValues(os.urandom(KEY_BYTES))
    _scrubber, Secret.watcher = Scrubber(held), held.hold
    try:
        yield held
    finally:
        _scrubber, Secret.watcher = before, watcher


def hold(value: str) -> None:
    """Know a value of the settings, such as the database's password, for as long as it runs."""
    if _scrubber.held is not None:
        _scrubber.held.hold(value, always=True)


def scrubbed(text: str) -> str:
    """A text without values."""
    return _scrubber.text(text)


def named(name: str, value: object) -> object:
    """What stands under a name, as plain types without values."""
    return _scrubber.named(name, value)


def kept(text: str) -> str:
    """A text as the database keeps it."""
    return kept_text(text, _scrubber.text)


def kept_event(event: Event) -> Event:
    """An event as the audit log keeps it."""
    return _scrubber.event(event)
