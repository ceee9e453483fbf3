"""Whether a text looks as if dice had made it. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_ONE_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~!@#$%^&*?-]+")
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")

MIN_LENGTH: Final = 16
MIN_BITS_PER_CHARACTER: Final = 3.0
MIN_TURNS: Final = 0.22
"""How often the kind of character changes: 0.5 in dice, under 0.2 in words with a number behind."""


def bits_per_character(text: str) -> float:
    """Shannon's entropy of the characters of a text."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def is_hex(text: str) -> bool:
    """Whether it is one number in hexadecimal."""
    return _HEX.fullmatch(text) is not None


def looks_random(text: str, min_length: int = MIN_LENGTH) -> bool:
    """Whether a text is one token without words in it, long enough to be a key."""
    if len(text) < min_length or _ONE_TOKEN.fullmatch(text) is None:
        return False
    if not any(char.isdigit() for char in text):
        return _random_letters(text)
    return bits_per_character(text) >= MIN_BITS_PER_CHARACTER and _turns(text) >= MIN_TURNS


def _random_letters(text: str) -> bool:
    """Letters alone: capitals have to stand where no word puts them."""
    odd = len(re.findall(r"[A-Z]{2,}[a-z]|[a-z][A-Z][a-z]?(?=[A-Z])|[a-z][A-Z]\b", text))
    return bits_per_character(text) >= 3.5 and odd >= max(3, len(text) // 10)


def _turns(text: str) -> float:
    kinds = [_kind(char) for char in text if char.isalnum()]
    if len(kinds) < 2:
        return 0.0
    return sum(a != b for a, b in pairwise(kinds)) / (len(kinds) - 1)


def _kind(char: str) -> str:
    if char.isdigit():
        return "digit"
    return "upper" if char.isupper() else "lower"
