"""Caveats of Fly's tokens: their types, their bytes and their fields.

The table of types is that of Fly's macaroon library. MessagePack is written in its
canonical form: smallest integers, maps with sorted keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.fly.wire import MacaroonError, Reader, array_header, pack

ORGANIZATION: Final = 0
VOLUMES: Final = 2
APPS: Final = 3
VALIDITY_WINDOW: Final = 4
FEATURE_SET: Final = 5
MUTATIONS: Final = 6
MACHINES: Final = 7
IS_USER: Final = 10
THIRD_PARTY: Final = 11
BIND_TO_PARENT: Final = 12
IF_PRESENT: Final = 13
MACHINE_FEATURE_SET: Final = 14
FROM_MACHINE: Final = 15
CLUSTERS: Final = 16
IS_MEMBER: Final = 22
FLYIO_USER: Final = 23
ACTION: Final = 26
COMMANDS: Final = 27
APP_FEATURE_SET: Final = 28
STORAGE_OBJECTS: Final = 29
ALLOWED_ROLES: Final = 30
FLY_SRC: Final = 31

READ, WRITE, CREATE, DELETE, CONTROL = 1, 2, 4, 8, 16
ALL_ACTIONS: Final = 31

ACTION_LETTERS: Final = "rwcdC"
MASK_MAX: Final = 0xFFFF

ATTESTATIONS: Final = frozenset({23, 24, 25})

# Every known type: Fly's name, and the kinds of its body's fields in order, or one bare kind.
_TYPES: Final[Mapping[int, tuple[str, tuple[str, ...] | str]]] = {
    0: ("Organization", ("uint", "mask")),
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
    13: ("IfPresent", ("caveats", "mask")),
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
    26: ("Action", "mask"),
    27: ("Commands", "commands"),
    28: ("AppFeatureSet", ("names",)),
    29: ("StorageObjects", ("names",)),
    30: ("AllowedRoles", "uint"),
    31: ("FlySrc", ("str", "str", "str")),
}

TYPE_NAMES: Final[Mapping[int, str]] = {number: name for number, (name, _) in _TYPES.items()}


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


def from_source(organization_slug: str, app: str = "", machine: str = "") -> Caveat:
    """Only from this place on Fly, by names; an empty one leaves that part open."""
    return caveat(FLY_SRC, organization_slug, app, machine)


def action_mask(letters: str) -> int:
    """The mask of some of the letters `rwcdC`. Raises MacaroonError for any other letter.

    Fly's own library ignores letters that it does not know; a misspelt one would widen nothing
    but would not do what was meant either.
    """
    unknown = sorted(set(letters) - set(ACTION_LETTERS))
    if unknown:
        raise MacaroonError(f"{''.join(unknown)!r} is none of the actions {ACTION_LETTERS}")
    return sum(1 << place for place, each in enumerate(ACTION_LETTERS) if each in letters)


def action_letters(mask: int) -> str:
    """The letters of a mask, in Fly's order."""
    return "".join(each for place, each in enumerate(ACTION_LETTERS) if mask >> place & 1)


def walk(caveats: Iterable[Caveat]) -> Iterator[Caveat]:
    """Every caveat, those nested in IfPresent included."""
    for each in caveats:
        yield each
        yield from walk(each.nested)


def refuse_unaddable(each: Caveat) -> None:
    """Raises MacaroonError for a caveat that the holder of a token can't or must not add."""
    if each.fields is None or not each.canonical:
        raise MacaroonError(f"a {each.name} caveat is not known well enough to be added")
    if each.type in ATTESTATIONS or each.type == THIRD_PARTY:
        raise MacaroonError(f"only an issuer can add a {each.name} caveat")


def read_caveats(reader: Reader) -> Iterator[Caveat]:
    """The caveats of the flat list that comes next."""
    length = reader.array()
    if length % 2:
        raise MacaroonError("the token's list of caveats has an odd length")
    for _ in range(length // 2):
        type_number, type_raw = reader.value()
        body, body_raw = reader.value()
        if type(type_number) is not int or type_number < 0:
            raise MacaroonError("the token has a caveat whose type is not a number")
        yield parse_caveat(type_number, body, type_raw + body_raw)


def parse_caveat(type_number: int, body: object, raw: bytes) -> Caveat:
    """A caveat from its type, its body and the bytes of both."""
    known = _TYPES.get(type_number)
    if known is None:
        return Caveat(type_number, raw)
    if type_number == IF_PRESENT:
        return _if_present(raw)
    fields = _fields(known[1], body)
    canonical = fields is not None and raw == pack(type_number) + pack(_plain(body))
    return Caveat(type_number, raw, fields, canonical)


def _if_present(raw: bytes) -> Caveat:
    """Read from its bytes, so that a caveat of an unknown type inside keeps its own."""
    reader = Reader(raw)
    reader.value()
    try:
        if reader.array() != 2:
            return Caveat(IF_PRESENT, raw)
        nested = tuple(read_caveats(reader))
        mask = _field("mask", reader.value()[0])
    except MacaroonError:
        return Caveat(IF_PRESENT, raw)
    if not isinstance(mask, int):
        return Caveat(IF_PRESENT, raw)
    flat = b"".join(each.raw for each in nested)
    form = pack(IF_PRESENT) + b"\x92" + array_header(2 * len(nested)) + flat + pack(mask)
    sound = all(each.canonical for each in nested)
    return Caveat(IF_PRESENT, raw, (nested, mask), sound and raw == form)


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
        case "mask":
            return value if _is_mask(value) else None
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
        case _:
            return _commands(value)


def _is_mask(value: object) -> bool:
    return type(value) is int and 0 <= value <= MASK_MAX


def _resource_set(value: object, key_type: type[int] | type[str]) -> dict[object, int] | None:
    """A map from id to action mask. Nil is an empty one, as Fly reads it."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        return None
    fits = all(type(key) is key_type and _is_mask(mask) for key, mask in value.items())
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
