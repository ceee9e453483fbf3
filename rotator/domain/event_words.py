"""The words of an event that a search finds it by, the same on every database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Term:
    """A word that is searched for, or the beginning of one."""

    word: str
    begins: bool


def split_terms(wanted: str) -> list[Term]:
    """What a search asks for: every word, or its beginning where `*` follows it."""
    terms = []
    for part in wanted.split():
        words = split_words(part)
        last = len(words) - 1
        terms += [Term(w, n == last and part.endswith("*")) for n, w in enumerate(words)]
    return terms


def has_terms(words: str, terms: Sequence[Term]) -> bool:
    """Whether the words of an event have everything that is searched for."""
    known = words.split()
    return all(
        any(word.startswith(t.word) for word in known) if t.begins else t.word in known
        for t in terms
    )
