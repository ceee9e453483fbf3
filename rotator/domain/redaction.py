"""The last look at a text before it is kept for good (P6): no value gets into a log for ever."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from rotator.domain.events import Event

LONGEST_TEXT: Final = 4000
MOST_DETAILS: Final = 40
_TOKEN: Final = re.compile(r"(fo1_|fm1[ar]_|fm2_)[A-Za-z0-9/+_=-]{8,}")
_PRIVATE_KEY: Final = re.compile(r"(?i)(private_?key\s*[=:]\s*)[A-Za-z0-9+/]{40,}=*")
_CREDENTIALS_IN_URL: Final = re.compile(r"(\w+://[^/\s:@]+:)[^@\s/]+@")


def redacted(text: str) -> str:
    """The text without what looks like a token, a private key or a password in a URL."""
    text = _TOKEN.sub(r"\1[redacted]", text)
    text = _PRIVATE_KEY.sub(r"\1[redacted]", text)
    return _CREDENTIALS_IN_URL.sub(r"\1[redacted]@", text)


def kept_text(text: str) -> str:
    """A text as the audit log keeps it: redacted, bounded, and writable in every database."""
    clean = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    return redacted(clean)[:LONGEST_TEXT]


def kept_event(event: Event) -> Event:
    """An event as the audit log keeps it."""
    items = list(event.detail.items())[:MOST_DETAILS]
    return replace(
        event,
        reason=kept_text(event.reason),
        detail={kept_text(key): kept_text(value) for key, value in items},
    )
