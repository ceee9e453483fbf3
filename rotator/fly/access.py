"""What a token allows: its caveats against one thing that somebody wants to do.

Follows Fly's macaroon library: a token allows an access when every caveat does. Restrictions of a
resource that the access does not name are *unspecified*, which denies, except inside IfPresent.
A caveat that is not understood denies. Signatures are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Final

from rotator.fly import caveats as c

MEMBER: Final = 1
ADMIN: Final = 0xFFFFFFFF
MEMBERS_MAY: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("wg", "domain", "site", "builder", "addon", "checks", "litefs-cloud"), c.ALL_ACTIONS
    ),
    **dict.fromkeys(("membership", "billing", "authentication"), c.READ),
    **dict.fromkeys(("deletion", "document_signing"), 0),
}
"""Features of an organisation and what plain members may do with them; the rest is for admins."""


@dataclass(frozen=True)
class Source:
    """Where on Fly a request comes from. Empty parts for what is not known."""

    organization: str = ""
    app: str = ""
    machine: str = ""


@dataclass(frozen=True)
class Access:
    """What a request wants: an action on an organization, and within it on one thing.

    `source` and `now` are the request's circumstances. Without `now`, windows of time are not
    judged; without `source` a token that is bound to one is denied.
    """

    organization: int
    action: int = c.READ
    app: int | None = None
    feature: str | None = None
    machine: str | None = None
    mutation: str | None = None
    command: tuple[str, ...] | None = None
    volume: str | None = None
    app_feature: str | None = None
    machine_feature: str | None = None
    cluster: str | None = None
    storage_object: str | None = None
    source: Source | None = None
    now: datetime | None = None


class _Verdict(Enum):
    YES = auto()
    NO = auto()
    UNSPECIFIED = auto()


def allows(caveats: Iterable[c.Caveat], access: Access) -> bool:
    """Whether every caveat says yes."""
    return all(_verdict(caveat, access) is _Verdict.YES for caveat in caveats)


def actions(caveats: Iterable[c.Caveat], access: Access) -> int:
    """Which actions the caveats allow on what `access` names, as a mask; its own is not used.

    Exact, because every rule judges each action by itself.
    """
    listed = tuple(caveats)
    single = (1 << place for place in range(len(c.ACTION_LETTERS)))
    return sum(each for each in single if allows(listed, replace(access, action=each)))


def in_context(caveats: Iterable[c.Caveat], source: Source | None, now: datetime) -> bool:
    """Whether windows of time and bindings to a source hold, whatever is wanted."""
    access = Access(0, source=source, now=now)
    context = (c.VALIDITY_WINDOW, c.FLY_SRC, c.FROM_MACHINE)
    return all(_verdict(each, access) is _Verdict.YES for each in caveats if each.type in context)


def _verdict(caveat: c.Caveat, access: Access) -> _Verdict:
    fields = caveat.fields
    if fields is None:
        return _Verdict.NO
    if caveat.type in _RESOURCES:
        name, anything = _RESOURCES[caveat.type]
        return _resource(fields[0], getattr(access, name), access.action, anything)
    match caveat.type:
        case c.ORGANIZATION:
            return _organization(fields, access)
        case c.ACTION:
            return _yes(_within(access.action, fields[0]))
        case c.STORAGE_OBJECTS:
            return _storage(fields[0], access)
        case c.MUTATIONS:
            return _mutation(fields[0], access)
        case c.COMMANDS:
            return _command(fields[0], access)
        case c.IF_PRESENT:
            return _if_present(caveat.nested, fields[1], access)
        case c.ALLOWED_ROLES:
            return _role(fields[0], access)
        case c.IS_MEMBER:
            return _role(MEMBER, access)
        case _:
            return _circumstance(caveat.type, fields, access)


_RESOURCES: Final[Mapping[int, tuple[str, int | str]]] = {
    c.APPS: ("app", 0),
    c.FEATURE_SET: ("feature", ""),
    c.MACHINES: ("machine", ""),
    c.VOLUMES: ("volume", ""),
    c.MACHINE_FEATURE_SET: ("machine_feature", ""),
    c.APP_FEATURE_SET: ("app_feature", ""),
    c.CLUSTERS: ("cluster", ""),
}
"""Sets of resources: what of an access they judge, and the id that stands for any."""


def _circumstance(kind: int, fields: tuple[object, ...], access: Access) -> _Verdict:
    """Caveats about the request as such. Third parties are a matter of signatures."""
    source = access.source or Source()
    match kind:
        case c.VALIDITY_WINDOW:
            return _yes(access.now is None or _in_window(fields, access.now.timestamp()))
        case c.FLY_SRC:
            present = (source.organization, source.app, source.machine)
            pairs = zip(fields, present, strict=True)
            return _yes(access.source is not None and all(w in ("", has) for w, has in pairs))
        case c.FROM_MACHINE:
            return _yes(access.source is not None and fields[0] == source.machine)
        case _:
            passing = kind in (c.IS_USER, c.THIRD_PARTY, c.BIND_TO_PARENT) or kind in c.ATTESTATIONS
            return _yes(passing)


def _in_window(fields: tuple[object, ...], seconds: float) -> bool:
    begin, end = fields
    return isinstance(begin, int) and isinstance(end, int) and begin <= seconds <= end


def _organization(fields: tuple[object, ...], access: Access) -> _Verdict:
    number, mask = fields
    return _yes(number in (0, access.organization) and _within(access.action, mask))


def _resource(
    masks: object, wanted: int | str | None, action: int, anything: int | str
) -> _Verdict:
    if not isinstance(masks, dict) or (anything in masks and len(masks) > 1):
        return _Verdict.NO
    if wanted is None:
        return _Verdict.UNSPECIFIED
    found = [masks[key] for key in {anything, wanted} if key in masks]
    return _yes(bool(found) and all(_within(action, mask) for mask in found))


def _storage(masks: object, access: Access) -> _Verdict:
    """Keys are prefixes of what they cover, the empty one of everything."""
    wanted = access.storage_object
    if not isinstance(masks, dict) or ("" in masks and len(masks) > 1):
        return _Verdict.NO
    if wanted is None:
        return _Verdict.UNSPECIFIED
    found = [mask for key, mask in masks.items() if wanted.startswith(str(key))]
    return _yes(bool(found) and all(_within(access.action, mask) for mask in found))


def _mutation(allowed: object, access: Access) -> _Verdict:
    if access.mutation is None:
        return _Verdict.UNSPECIFIED
    return _yes(isinstance(allowed, tuple) and access.mutation in allowed)


def _command(allowed: object, access: Access) -> _Verdict:
    wanted = access.command
    if wanted is None:
        return _Verdict.UNSPECIFIED
    entries = allowed if isinstance(allowed, tuple) else ()
    return _yes(
        any(wanted == args if exact else wanted[: len(args)] == args for args, exact in entries)
    )


def _role(roles: object, access: Access) -> _Verdict:
    required = MEMBER
    if access.feature is not None and access.action & ~MEMBERS_MAY.get(access.feature, 0):
        required = ADMIN
    return _yes(isinstance(roles, int) and roles & required == required)


def _if_present(nested: tuple[c.Caveat, ...], otherwise: object, access: Access) -> _Verdict:
    said = [_verdict(caveat, access) for caveat in nested]
    specified = [verdict for verdict in said if verdict is not _Verdict.UNSPECIFIED]
    if not specified:
        return _yes(_within(access.action, otherwise))
    return _yes(all(verdict is _Verdict.YES for verdict in specified))


def _within(action: int, mask: object) -> bool:
    return isinstance(mask, int) and action & ~mask == 0


def _yes(condition: bool) -> _Verdict:
    return _Verdict.YES if condition else _Verdict.NO
