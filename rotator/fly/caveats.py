"""Caveats of Fly's tokens: their types, their bytes and their fields.

The table of types is that of Fly's macaroon library. MessagePack is written in its
canonical form: smallest integers, maps with sorted keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgpack

MAX_TOKEN_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32

ORGANIZATION: Final = 0
APPS: Final = 3
VALIDITY_WINDOW: Final = 4
FEATURE_SET: Final = 5
MUTATIONS: Final = 6
MACHINES: Final = 7
THIRD_PARTY: Final = 11
IF_PRESENT: Final = 13
ACTION: Final = 26

READ, WRITE, CREATE, DELETE, CONTROL = 1, 2, 4, 8, 16
ALL_ACTIONS: Final = 31

_ATTESTATIONS = frozenset({23, 24, 25})

# Every known type: Fly's name, and the kinds of its body's fields in order, or one bare kind.
_TYPES: Final[Mapping[int, tuple[str, tuple[str, ...] | str]]] = {
    0: ("Organization", ("uint", "uint")),
    2: ("Volumes", ("names",)),
    3: ("Apps", ("ids",)),
    4: ("ValidityWindow", ("int", "int")),
    5: ("FeatureSet", ("names",)),
    6: ("Mutations", ("strings",)),
    7: ("Machines", ("names",)),
    8: ("ConfineUser", ("uint",)),
    9: ("ConfineOrganization", ("uint",)),
    10: ("IsUser", ("uint",)),
    11: ("3P", ("str", "bytes", "bytes")),
    12: ("BindToParentToken", "bytes"),
    13: ("IfPresent", ("caveats", "uint")),
    14: ("MachineFeatureSet", ("names",)),
    15: ("FromMachineSource", ("str",)),
    16: ("Clusters", ("names",)),
    19: ("ConfineGoogleHD", "str"),
    20: ("ConfineGitHubOrg", "uint"),
    21: ("MaxValidity", "uint"),
    22: ("IsMember", ()),
    23: ("FlyioUserID", "uint"),
    24: ("GitHubUserID", "uint"),
    25: ("GoogleUserID", "bytes"),
    26: ("Action", "uint"),
    27: ("Commands", "commands"),
    28: ("AppFeatureSet", ("names",)),
    29: ("StorageObjects", ("names",)),
    30: ("AllowedRoles", "uint"),
    31: ("FlySrc", ("str", "str", "str")),
}


class MacaroonError(ValueError):
    """A token can't be read or must not be extended; the text never quotes the token."""


@dataclass(frozen=True)
class Caveat:
    """One restriction: its type number, its bytes (type and body) and its body's fields.

    `fields` is None for a type that is not known here and for a known type whose body has
    an unexpected shape: both restrict in a way that can't be told.
    """

    type: int
    raw: bytes
    fields: tuple[object, ...] | None = None
    canonical: bool = True

    @property
    def name(self) -> str:
        """Fly's name of the type, or `Unregistered(<number>)`."""
        known = _TYPES.get(self.type)
        return known[0] if known else f"Unregistered({self.type})"

    @property
    def nested(self) -> tuple[Caveat, ...]:
        """The caveats inside an IfPresent; empty for every other type."""
        if self.type != IF_PRESENT or self.fields is None:
            return ()
        inner = self.fields[0]
        return inner if isinstance(inner, tuple) else ()

    def __repr__(self) -> str:
        return f"Caveat({self.name})"


def caveat(type_number: int, *fields: object) -> Caveat:
    """A new caveat of a known type from its body's fields in wire order.

    Resource sets are mappings from id to action mask; nested caveats a sequence of Caveat.
    Raises MacaroonError when the type is not known or a field has the wrong kind.
    """
    known = _TYPES.get(type_number)
    if known is None:
        raise MacaroonError(f"caveat type {type_number} is not known")
    name, shape = known
    plain = [_plain(value) for value in fields]
    if isinstance(shape, str) and len(plain) != 1:
        raise MacaroonError(f"a {name} caveat has one value")
    body: object = plain[0] if isinstance(shape, str) else plain
    made = parse_caveat(type_number, body, pack(type_number) + pack(body))
    if made.fields is None:
        raise MacaroonError(f"a {made.name} caveat does not take these values")
    return made


def organization(organization_id: int, mask: int = ALL_ACTIONS) -> Caveat:
    """Only this organization, and only the actions in `mask`."""
    return caveat(ORGANIZATION, organization_id, mask)


def apps(masks: Mapping[int, int]) -> Caveat:
    """Only these apps (by numeric id), each with its mask of actions."""
    return caveat(APPS, masks)


def validity_window(not_before: datetime, not_after: datetime) -> Caveat:
    """Only between these instants, both included; whole seconds."""
    return caveat(VALIDITY_WINDOW, int(not_before.timestamp()), int(not_after.timestamp()))


def walk(caveats: Iterable[Caveat]) -> Iterator[Caveat]:
    """Every caveat, those nested in IfPresent included."""
    for each in caveats:
        yield each
        yield from walk(each.nested)


def refuse_unaddable(each: Caveat) -> None:
    if each.fields is None or not each.canonical:
        raise MacaroonError(f"a {each.name} caveat is not known well enough to be added")
    if each.type in _ATTESTATIONS or each.type == THIRD_PARTY:
        raise MacaroonError(f"only an issuer can add a {each.name} caveat")


def read_caveats(reader: Reader) -> Iterator[Caveat]:
    length = reader.array()
    if length % 2:
        raise MacaroonError("the token's list of caveats has an odd length")
    for _ in range(length // 2):
        type_number, type_raw = reader.value()
        body, body_raw = reader.value()
        if isinstance(type_number, bool) or not isinstance(type_number, int) or type_number < 0:
            raise MacaroonError("the token has a caveat whose type is not a number")
        yield parse_caveat(type_number, body, type_raw + body_raw)


def parse_caveat(type_number: int, body: object, raw: bytes) -> Caveat:
    known = _TYPES.get(type_number)
    if known is None:
        return Caveat(type_number, raw)
    fields = _fields(known[1], body)
    canonical = fields is not None and raw == pack(type_number) + pack(_plain(body))
    return Caveat(type_number, raw, fields, canonical)


def _fields(shape: tuple[str, ...] | str, body: object) -> tuple[object, ...] | None:
    """The body's fields when each has the kind that its shape says, else None."""
    kinds = (shape,) if isinstance(shape, str) else shape
    values = [body] if isinstance(shape, str) else body
    if not isinstance(values, list) or len(values) != len(kinds):
        return None
    read = tuple(_field(kind, value) for kind, value in zip(kinds, values, strict=True))
    return None if any(value is None for value in read) else read


def _field(kind: str, value: object) -> object | None:
    match kind:
        case "uint":
            return value if type(value) is int and value >= 0 else None
        case "int":
            return value if type(value) is int else None
        case "str":
            return value if isinstance(value, str) else None
        case "bytes":
            return value if isinstance(value, bytes) else None
        case "ids":
            return _resource_set(value, int)
        case "names":
            return _resource_set(value, str)
        case "strings":
            return _strings(value)
        case "commands":
            return _commands(value)
        case _:
            return _nested(value)


def _resource_set(value: object, key_type: type[int] | type[str]) -> dict[object, int] | None:
    """A map from id to action mask. Nil is an empty one, as Fly reads it."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        return None
    fits = all(type(key) is key_type and type(mask) is int for key, mask in value.items())
    return dict(value) if fits else None


def _strings(value: object) -> tuple[str, ...] | None:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _commands(value: object) -> tuple[tuple[tuple[str, ...], bool], ...] | None:
    if value is None:
        return ()
    if not isinstance(value, list):
        return None
    read: list[tuple[tuple[str, ...], bool]] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[1], bool):
            return None
        arguments = _strings(item[0])
        if arguments is None:
            return None
        read.append((arguments, item[1]))
    return tuple(read)


def _nested(value: object) -> tuple[Caveat, ...] | None:
    if not isinstance(value, list) or len(value) % 2:
        return None
    read: list[Caveat] = []
    for type_number, body in zip(value[::2], value[1::2], strict=True):
        if type(type_number) is not int or type_number < 0:
            return None
        read.append(parse_caveat(type_number, body, pack(type_number) + pack(_plain(body))))
    return tuple(read)


class Reader:
    """A cursor over MessagePack that hands out each value with the bytes it came as."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            max_buffer_size=MAX_TOKEN_BYTES,
        )
        self._unpacker.feed(payload)

    def array(self) -> int:
        return int(self._unpacker.read_array_header())

    def value(self) -> tuple[object, bytes]:
        begin = self._unpacker.tell()
        value: object = self._unpacker.unpack()
        _limit_depth(value, MAX_DEPTH)
        return value, self._payload[begin : self._unpacker.tell()]


def _limit_depth(value: object, left: int) -> None:
    if not isinstance(value, list | dict):
        return
    if left == 0:
        raise MacaroonError(f"the token nests deeper than {MAX_DEPTH} levels")
    for item in value.values() if isinstance(value, dict) else value:
        _limit_depth(item, left - 1)


def _plain(value: object) -> object:
    """The value as MessagePack writes it in canonical form: maps sorted, caveats flat."""
    if isinstance(value, Mapping):
        try:
            keys = sorted(value)
        except TypeError:
            keys = list(value)
        return {key: _plain(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, Caveat) for item in value):
            return [part for item in value for part in _parts(item)]
        return [_plain(item) for item in value]
    return value


def _parts(each: Caveat) -> tuple[object, object]:
    reader = Reader(each.raw)
    type_number, _ = reader.value()
    body, _ = reader.value()
    return type_number, body


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed
