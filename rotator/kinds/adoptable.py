"""What a thing that was found at Fly would be in a manifest."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from rotator.domain.discovery import APP_PROFILE, ORGANIZATION_PROFILE, Found, Thing
from rotator.domain.fields import Params
from rotator.domain.names import wrong_peer, wrong_region, wrong_secret, wrong_token
from rotator.kinds.wireguard_peer import SUFFIX_LENGTH

_UNFIT: Final = re.compile(r"[^a-z0-9._-]+")
_NAME_MAX: Final = 80


@dataclass(frozen=True)
class Adoptable:
    """The kind, its fields and the targets of an entry. `hint` is what its owner should know."""

    kind: str
    params: Params
    targets: tuple[Mapping[str, str], ...]
    hint: str


def adoptable(found: Found) -> Adoptable | str:
    """The entry that would track it, or a sentence on why there is none. Pure."""
    match found.thing:
        case Thing.TOKEN:
            return _token(found)
        case Thing.SECRET:
            return _secret(found)
        case Thing.PEER:
            return _peer(found)
        case Thing.CERTIFICATE:
            return "Fly renews certificates by itself; there is nothing to rotate"


def credential_name(found: Found, taken: Collection[str]) -> str:
    """A name for its entry that no other has. Pure."""
    parts = [found.base_name]
    if found.thing is Thing.SECRET and found.app:
        parts.insert(0, found.app)
    base = _UNFIT.sub("-", "-".join(parts).lower().replace("_", "-")).strip("-._")
    base = base[: _NAME_MAX - 4].rstrip("-._") or "found"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _token(found: Found) -> Adoptable | str:
    name = found.base_name
    problem = wrong_token(name)
    if problem is not None:
        return problem
    where = "say in `targets` where it goes, then take `mode` out, and rotator replaces it"
    if found.profile == APP_PROFILE and found.app is not None:
        return Adoptable("deploy-token", {"app": found.app, "token_name": name}, (), where)
    if found.profile == ORGANIZATION_PROFILE:
        hint = f"{where}; if it was narrowed, say so: readonly-token, wireguard-token, or `narrow`"
        return Adoptable("org-token", {"token_name": name}, (), hint)
    return f"rotator has no kind for tokens of the profile {found.profile!r}"


def _secret(found: Found) -> Adoptable | str:
    problem = wrong_secret(found.name)
    if problem is not None or found.app is None:
        return problem or "it belongs to no app"
    target = {"type": "fly-secret", "app": found.app, "name": found.name}
    hint = "a new value would be random: take `mode` out only if nobody else has to know it"
    return Adoptable("secret", {}, (target,), hint)


def _peer(found: Found) -> Adoptable | str:
    name = found.base_name
    problem = wrong_peer(name, room=SUFFIX_LENGTH)
    if problem is not None:
        return problem
    params = {"peer_name": name}
    if found.region and wrong_region(found.region) is None:
        params["region"] = found.region
    hint = "say in `targets` where its wg-quick file goes, then take `mode` out"
    return Adoptable("wireguard-peer", params, (), hint)
