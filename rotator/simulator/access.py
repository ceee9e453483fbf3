"""Who may do what: the caveats of a token against what a request wants.

Follows Fly's macaroon library: a token allows an access when every caveat does. A caveat
that is not understood denies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from rotator.fly import macaroon as m

_IS_USER, _IS_MEMBER, _COMMANDS, _ALLOWED_ROLES = 10, 22, 27, 30


@dataclass(frozen=True)
class Access:
    """What a request wants: an action on an organization, and within it on one thing."""

    organization: int
    action: int = m.READ
    app: int | None = None
    feature: str | None = None
    machine: str | None = None
    mutation: str | None = None


class _Verdict(Enum):
    YES = auto()
    NO = auto()
    UNSPECIFIED = auto()


def allows(token: m.Macaroon, access: Access) -> bool:
    """Whether every caveat of the token says yes; its time and signature are not looked at."""
    return all(_verdict(caveat, access) is _Verdict.YES for caveat in token.caveats)


def _verdict(caveat: m.Caveat, access: Access) -> _Verdict:
    if caveat.fields is None:
        return _Verdict.NO
    match caveat.type:
        case m.VALIDITY_WINDOW:
            return _Verdict.YES
        case m.ORGANIZATION:
            return _organization(caveat.fields, access)
        case m.APPS:
            return _resource(caveat.fields[0], access.app, access.action, anything=0)
        case m.FEATURE_SET:
            return _resource(caveat.fields[0], access.feature, access.action, anything="")
        case m.MACHINES:
            return _resource(caveat.fields[0], access.machine, access.action, anything="")
        case m.ACTION:
            return _yes(_within(access.action, caveat.fields[0]))
        case m.MUTATIONS:
            return _mutation(caveat.fields[0], access)
        case m.IF_PRESENT:
            return _if_present(caveat.nested, caveat.fields[1], access)
        case _:
            return _others(caveat.type)


def _others(type_number: int) -> _Verdict:
    if type_number == _COMMANDS:
        return _Verdict.UNSPECIFIED
    return _yes(type_number in (_IS_USER, _IS_MEMBER, _ALLOWED_ROLES))


def _organization(fields: tuple[object, ...], access: Access) -> _Verdict:
    number, mask = fields
    return _yes(number in (0, access.organization) and _within(access.action, mask))


def _resource(
    masks: object, wanted: int | str | None, action: int, *, anything: int | str
) -> _Verdict:
    if not isinstance(masks, dict) or (anything in masks and len(masks) > 1):
        return _Verdict.NO
    if wanted is None:
        return _Verdict.UNSPECIFIED
    found = [mask for key, mask in masks.items() if key in (anything, wanted)]
    return _yes(bool(found) and all(_within(action, mask) for mask in found))


def _mutation(allowed: object, access: Access) -> _Verdict:
    if access.mutation is None:
        return _Verdict.UNSPECIFIED
    return _yes(isinstance(allowed, Iterable) and access.mutation in allowed)


def _if_present(nested: tuple[m.Caveat, ...], otherwise: object, access: Access) -> _Verdict:
    said = [_verdict(caveat, access) for caveat in nested]
    specified = [verdict for verdict in said if verdict is not _Verdict.UNSPECIFIED]
    if not specified:
        return _yes(_within(access.action, otherwise))
    return _yes(all(verdict is _Verdict.YES for verdict in specified))


def _within(action: int, mask: object) -> bool:
    return isinstance(mask, int) and action & ~mask == 0


def _yes(condition: bool) -> _Verdict:
    return _Verdict.YES if condition else _Verdict.NO
