"""The words of an event that a search finds it by, the same on every database."""

from __future__ import annotations

import re
from typing import Final

from rotator.domain.events import Event

LONGEST: Final = 64
MOST: Final = 256
_WORD: Final = re.compile(r"[^\W_]+")


def split_words(text: str) -> list[str]:
    """Runs of letters and digits, without case, in order and once each."""
    return list(dict.fromkeys(word[:LONGEST] for word in _WORD.findall(text.casefold())))


def words_of(event: Event) -> str:
    """What an event can be found by: what people wrote or read, no ids of ours."""
    texts = (
        event.reason,
        event.credential,
        event.app,
        event.target,
        event.machine,
        event.actor.name,
        event.request_id,
        *event.detail.values(),
    )
    return " ".join(split_words("\n".join(text for text in texts if text))[:MOST])
