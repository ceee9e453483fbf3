"""Texts from outside, made fit to be kept: Fly has put a mis-quoted token into a message before.

Stricter than what is done to texts of our own: whatever is long enough to be a value goes.
"""

from __future__ import annotations

import re
from typing import Final

from rotator.domain.redaction import MASK
from rotator.redaction import scrubbed

MAX_LENGTH: Final = 200

_TOKEN: Final = re.compile(r"\b(?:fo1|fm1a|fm1r|fm2)_[A-Za-z0-9/+_=-]+")
_SCHEME: Final = re.compile(r"(?i)\b(bearer|flyv1|basic)\s+\S+")
_USER: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@]*@")
_LONG: Final = re.compile(r"[A-Za-z0-9/+_=-]{40,}")
"""Longer than any id of Fly's (a ULID has 26 characters, a UUID 36), so it may be a value."""


def redacted(text: str) -> str:
    """One line of at most 200 characters without anything that looks like a secret value."""
    line = scrubbed(" ".join(text.split()))
    line = _TOKEN.sub(MASK, line)
    line = _SCHEME.sub(rf"\1 {MASK}", line)
    line = _USER.sub(rf"\1{MASK}@", line)
    line = _LONG.sub(MASK, line)
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"
