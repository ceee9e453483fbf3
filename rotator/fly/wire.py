"""MessagePack as Fly's tokens use it, read within bounds and written in canonical form.

A few bytes of MessagePack can claim a list of four billion elements, or nest a thousand lists of
65,535 each. So each value is measured before anything is built of it: reading costs no more than
the length of what is there.
"""

from __future__ import annotations

from typing import Final

import msgpack

MAX_TOKEN_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32

_CUT: Final = "the token is not well-formed MessagePack; it was cut or changed"

# First byte: (bytes of the length that follow it, bytes besides that length, elements each counts).
_COUNTED: Final = {
    **{0xC4 + n: (1 << n, 0, 0) for n in range(3)},  # bin
    **{0xC7 + n: (1 << n, 1, 0) for n in range(3)},  # ext, with its type
    **{0xD9 + n: (1 << n, 0, 0) for n in range(3)},  # str
    **{0xDC + n: (2 << n, 0, 1) for n in range(2)},  # array
    **{0xDE + n: (2 << n, 0, 2) for n in range(2)},  # map
}
# First byte: how many bytes follow.
_FIXED: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),  # nil, false, true
    0xCA: 4,
    0xCB: 8,  # floats
    **{0xCC + n: 1 << n for n in range(4)},  # unsigned
    **{0xD0 + n: 1 << n for n in range(4)},  # signed
    **{0xD4 + n: 1 + (1 << n) for n in range(5)},  # ext of a fixed size, with its type
}


class MacaroonError(ValueError):
    """A token can't be read or must not be extended; the text never quotes the token."""


class Reader:
    """A cursor over MessagePack that hands out each value with the bytes it came as."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    @property
    def rest(self) -> int:
        """How many bytes have not been read."""
        return len(self._payload) - self._at

    def array(self) -> int:
        """The number of elements of an array that begins here; they are read next."""
        first = self._payload[self._at] if self.rest else 0
        if not 0x90 <= first <= 0x9F and first not in (0xDC, 0xDD):
            raise MacaroonError("the token has something else where a list belongs")
        count, self._at = _head(self._payload, self._at)
        if count > self.rest:
            raise MacaroonError(_CUT)
        return count

    def value(self) -> tuple[object, bytes]:
        """The next value and its bytes."""
        begin, self._at = self._at, _end(self._payload, self._at)
        raw = self._payload[begin : self._at]
        try:
            value: object = msgpack.unpackb(
                raw, raw=False, strict_map_key=False, unicode_errors="surrogateescape"
            )
        except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
            raise MacaroonError(_CUT) from None
        return value, raw


def pack(value: object) -> bytes:
    """A value in canonical form, if its maps are sorted already."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def array_header(count: int) -> bytes:
    """What stands before the elements of an array."""
    header: bytes = msgpack.Packer().pack_array_header(count)
    return header


def _end(payload: bytes, at: int) -> int:
    """Where the value that begins at `at` ends.

    Raises MacaroonError when it nests too deep or claims more than there is.
    """
    wanted = [1]
    while wanted:
        if wanted[-1] == 0:
            wanted.pop()
            continue
        wanted[-1] -= 1
        count, at = _head(payload, at)
        if count > len(payload) - at:
            raise MacaroonError(_CUT)
        if count:
            if len(wanted) > MAX_DEPTH:
                raise MacaroonError(f"the token nests deeper than {MAX_DEPTH} levels")
            wanted.append(count)
    return at


def _head(payload: bytes, at: int) -> tuple[int, int]:
    """How many values belong to the one at `at`, and where its own bytes end."""
    if at >= len(payload):
        raise MacaroonError(_CUT)
    first = payload[at]
    count, end = 0, at + 1
    if 0x80 <= first <= 0x8F:
        count = 2 * (first & 0x0F)
    elif 0x90 <= first <= 0x9F:
        count = first & 0x0F
    elif 0xA0 <= first <= 0xBF:
        end += first & 0x1F
    elif first in _FIXED:
        end += _FIXED[first]
    elif first in _COUNTED:
        size, more, each = _COUNTED[first]
        number = int.from_bytes(payload[at + 1 : at + 1 + size], "big")
        count, end = (number * each, end + size) if each else (0, end + size + more + number)
    elif 0x80 < first < 0xE0:
        raise MacaroonError(_CUT)
    if end > len(payload):
        raise MacaroonError(_CUT)
    return count, end
