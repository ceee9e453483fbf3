"""The last look at an event before it is kept for good (P6): no value gets into a log for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rotator.domain.redaction.content import MASK, Redact, is_value, without_values
from rotator.domain.redaction.field_names import is_secret_name

if TYPE_CHECKING:
    from rotator.domain.events import Event

LONGEST_TEXT: Final = 4000
MOST_DETAILS: Final = 40


def kept_text(text: str, redact: Redact = without_values) -> str:
    """A text as the audit log keeps it: redacted, bounded, and writable in every database."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    return redact(text)[:LONGEST_TEXT]


def kept_event(event: Event, redact: Redact = without_values) -> Event:
    """An event as the audit log keeps it."""
    items = list(event.detail.items())[:MOST_DETAILS]
    return replace(
        event,
        reason=kept_text(event.reason, redact),
        detail={kept_text(key, redact): _kept_detail(key, value, redact) for key, value in items},
    )


def _kept_detail(key: str, value: str, redact: Redact) -> str:
    if is_secret_name(key) and is_value(value, strong=True):
        return MASK
    return kept_text(value, redact)
