"""Values that this process holds, found again in any text without being kept in plain form.

Of each value, and of each form in which it would leak, windows of 12 characters are hashed; of a
text, every second window. What matches is masked as far as the run of characters reaches that it
stands in. A copy of 17 characters or more of a value is found wherever it begins, so a value
that was cut, or wrapped over lines, is found as well.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from rotator.domain.redaction.content import MASK
from rotator.domain.redaction.field_names import is_secret_name

WINDOW: Final = 12
VALUE_STEP: Final = 3
LONG_VALUE_STEP: Final = 13
LONG: Final = 160
"""Longer values, which are tokens and keys, are sampled more thinly: a copy of 37 is found."""
TEXT_STEP: Final = 2
"""Has no divisor in common with the steps above, so that some window of a copy is always met."""
SHORTEST: Final = 8
"""A shorter value would blank out ordinary words: only its field's name protects it."""
WHOLE_BELOW: Final = 18
"""A value up to here is only found whole, and as it stands only where no word goes on with it."""
PLAIN_BELOW: Final = 20
"""A value that is shorter and made of one kind of character (`postgres`) may be a word: left."""
MOST_WINDOWS: Final = 40_000
"""About 9 MB. Beyond it, what was not held again for longest is forgotten."""

_SAME: Final = str.maketrans("-_", "+/")
"""Base64 and its form for URLs are held as one."""
_KINDS: Final = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]", r"[^\sA-Za-z0-9]")))
_RUN: Final = re.compile(rf"\S{{{SHORTEST},}}")
_BEFORE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_.~%-")
_BEHIND: Final = _BEFORE | {"="}
_FLY: Final = ("fo1_", "fm1a_", "fm1r_", "fm2_")
_KEY_LINE: Final = re.compile(r"(?im)^\s*(?:private|preshared)key\s*=\s*(\S+)")
_PEM_BODY: Final = re.compile(r"-----BEGIN [^-]+-----(.*?)-----END [^-]+-----", re.DOTALL)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:([^/\s@]*)@)?[^/\s?#@]*(\S*)")
_SCHEME: Final = re.compile(r"(?i)^(?:(?:bearer|flyv1)\s+)+")


class HeldValues:
    """The index. `key` is random bytes of this process: nothing in here means anything outside it.

    The sieve is Python's own hash of text, which has a random key of its own; what passes it is
    held against a BLAKE2b under `key`. May be used by several threads.
    """

    def __init__(self, key: bytes, *, most_windows: int = MOST_WINDOWS) -> None:
        self._key = key
        self._half = max(1, most_windows // 2)
        self._lock = threading.Lock()
        self._young, self._old, self._always = _Generation(), _Generation(), _Generation()
        self._sieve: set[int] = set()
        self._heads: set[int] = set()
        self._spaced = False

    def __len__(self) -> int:
        """How many windows are held."""
        return self._young.size + self._old.size + self._always.size

    def hold(self, value: str, *, always: bool = False) -> None:
        """Know this value from now on; `always` is for the few that nobody holds a second time.
        What is known already costs one hash."""
        known = self._digest(value)
        if known in self._young.values or known in self._always.values:
            return
        generation = self._always if always else self._young
        with self._lock:
            generation.values.add(known)
            for part in secret_parts(value):
                if is_distinct(part):
                    self._spaced = self._spaced or len(part.split()) > 1
                    for form in set(map(_flat, forms(part))):
                        self._index(generation, form, alone=form == _flat(part))
            if self._young.size > self._half:
                self._turn()

    def mask(self, text: str) -> str:
        """The text without what is held."""
        if len(text) < SHORTEST or not (self._sieve or self._heads):
            return text
        squeezed = self._spaced or "\n" in text
        flat = _flat(text) if squeezed else text.translate(_SAME)
        places = _Places(text, squeezed=squeezed)
        spans = _joined(sorted(self._spans(flat, places)))
        return _masked(text, [places.span(*each) for each in spans]) if spans else text

    def _index(self, generation: _Generation, form: str, *, alone: bool) -> None:
        if len(form) < SHORTEST:
            return
        if len(form) < WHOLE_BELOW:
            head = hash(form[:SHORTEST])
            self._heads.add(head)
            generation.whole.setdefault(head, set()).add((len(form), self._digest(form), alone))
            return
        step = VALUE_STEP if len(form) < LONG else LONG_VALUE_STEP
        last = len(form) - WINDOW
        # Both ends twice, one of which every text step meets, so that no end is left over.
        for start in {*range(0, last, step), 1, last - 1, last}:
            window = form[start : start + WINDOW]
            sieve = hash(window)
            self._sieve.add(sieve)
            generation.windows[sieve] = self._digest(window)

    def _turn(self) -> None:
        """Forget what has not been held again since the last turn."""
        self._old, self._young = self._young, _Generation()
        self._sieve = {*self._old.windows, *self._always.windows}
        self._heads = {*self._old.whole, *self._always.whole}

    def _digest(self, text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._key, digest_size=8).digest()

    def _spans(self, flat: str, places: _Places) -> Iterator[tuple[int, int]]:
        sieve, heads = self._sieve, self._heads
        for run in _RUN.finditer(flat):
            begin, part = run.start(), run[0]
            last = len(part) - WINDOW + 1
            # Two loops that run over every text: as little in them as can be.
            for at in [
                at for at in range(0, last, TEXT_STEP) if hash(part[at : at + WINDOW]) in sieve
            ]:
                if self._holds(part[at : at + WINDOW]):
                    yield begin + at, begin + at + WINDOW
            if heads:
                last = len(part) - SHORTEST + 1
                for at in [at for at in range(last) if hash(part[at : at + SHORTEST]) in heads]:
                    yield from self._whole_at(flat, begin + at, places)

    def _holds(self, window: str) -> bool:
        sieve, digest = hash(window), self._digest(window)
        return any(digest == each.windows.get(sieve) for each in self._generations())

    def _generations(self) -> tuple[_Generation, ...]:
        return (self._young, self._old, self._always)

    def _whole_at(self, flat: str, start: int, places: _Places) -> Iterator[tuple[int, int]]:
        head = hash(flat[start : start + SHORTEST])
        for generation in self._generations():
            for length, digest, alone in generation.whole.get(head, ()):
                end = start + length
                if self._digest(flat[start:end]) != digest:
                    continue
                if not (alone and places.within_words(start, min(end, len(flat)))):
                    yield start, min(end, len(flat))


class _Places:
    """Where in a text the characters of its flat form stand."""

    def __init__(self, text: str, *, squeezed: bool) -> None:
        self._text, self._squeezed = text, squeezed
        self._places: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of the flat form, as it stands in the text."""
        if not self._squeezed:
            return start, end
        if self._places is None:
            self._places = [at for at, each in enumerate(self._text) if not each.isspace()]
        return self._places[start], self._places[end - 1] + 1

    def within_words(self, start: int, end: int) -> bool:
        """Whether a word goes on across one of its ends."""
        first, last = self.span(start, end)
        return _joins(self._text, first) or _joins(self._text, last)


class _Generation:
    """What was held between two turns."""

    def __init__(self) -> None:
        self.values: set[bytes] = set()
        self.windows: dict[int, bytes] = {}
        self.whole: dict[int, set[tuple[int, bytes, bool]]] = {}
        """By the hash of its beginning: length, digest, and whether it has to stand alone."""

    @property
    def size(self) -> int:
        return len(self.windows) + len(self.whole)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, those as one that are no farther apart than windows of one value are."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start <= found[-1][1] + LONG_VALUE_STEP * TEXT_STEP:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _joins(text: str, at: int) -> bool:
    """Whether a word goes on across this place."""
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def _flat(text: str) -> str:
    return "".join(text.split()).translate(_SAME)


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    """The spans, and the runs that they stand in, each replaced by one mask."""
    found: list[str] = []
    done = 0
    for first, last in spans:
        start, end = first, last
        if end <= done:
            continue
        while start > done and text[start - 1] in _BEFORE:
            start -= 1
        while end < len(text) and text[end] in _BEHIND:
            end += 1
        while end > last and text[end - 1] == ".":
            end -= 1  # the sentence's own
        if start > done or not found:
            found += [text[done:start], MASK]
        done = end
    found.append(text[done:])
    return "".join(found)


def is_distinct(part: str) -> bool:
    """Whether a text can be told from ordinary words, so that masking it does no harm."""
    if len(part) < SHORTEST:
        return False
    return len(part) >= PLAIN_BELOW or sum(bool(kind.search(part)) for kind in _KINDS) > 1


def secret_parts(value: str) -> Sequence[str]:
    """What of a value is secret: the key in a wg-quick file, the body of a PEM block, the password
    in an address and what follows its host, each token of a bundle; else all of it."""
    keys = _KEY_LINE.findall(value) if "[Interface]" in value else []
    parts = keys + _PEM_BODY.findall(value)
    if not parts:
        bare = _SCHEME.sub("", value.strip())
        url = _URL.fullmatch(bare)
        if url is not None:
            parts = _parts_of_url(bare, url[1] or "", url[2])
        else:
            parts = bare.split(",") if bare.startswith(_FLY) else [bare]
    return [part.strip() for part in parts if part.strip()]


def _parts_of_url(whole: str, user: str, rest: str) -> list[str]:
    name, _, password = user.partition(":")
    secret = password or name
    if whole.startswith("http"):
        return [secret, unquote(secret), rest]
    query = parse_qsl(rest.partition("?")[2])
    return [secret, unquote(secret), *(value for name, value in query if is_secret_name(name))]


def forms(part: str) -> Iterator[str]:
    """The forms in which a text turns up: as it is, for URLs, in JSON (also in JSON), in Python,
    HTML, CSV and shells, in hex, and in base64 wherever in the encoded bytes it begins."""
    yield part
    yield quote(part, safe="")
    yield quote(part)
    once = json.dumps(part)[1:-1]
    yield once
    yield json.dumps(once)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield ascii(part)[1:-1]
    yield html.escape(part)
    yield part.replace('"', '""')
    yield part.replace("'", "'\\''")
    data = part.encode("utf-8", "surrogatepass")
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        yield encoded[-(-8 * before // 6) : (before + len(data)) * 8 // 6]
