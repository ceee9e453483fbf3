"""Everything that organisations hold, with what tracks it and how bad a leak would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rotator.domain.credential import VersionState
from rotator.domain.discovery import Assessed, Found, Survey, Thing, assess
from rotator.domain.errors import NotAllowed
from rotator.engine.parts import Parts

_HELD = frozenset({VersionState.PENDING, VersionState.CURRENT, VersionState.RETIRING})
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Discovery:
    """What was found, the worst first. `missing` says what could not be read."""

    organizations: tuple[str, ...]
    assessed: tuple[Assessed, ...]
    missing: tuple[str, ...]
    calls: int


async def discover(
    parts: Parts,
    survey: Survey,
    organizations: Sequence[str],
    declared: Callable[[Found], str | None],
    told: Told,
) -> Discovery:
    """Look at organisations, or at all that the API token sees where none is given. Reads only.

    `declared` says which credential of the manifest lives where a thing does, or is delivered
    there; `told` hears how many apps of how many are read.

    Raises:
        NotAllowed: nothing at all could be read.
    """
    with parts.calls.counting() as counted:
        slugs = tuple(dict.fromkeys(organizations)) or tuple(await survey.organizations())
        found: list[Found] = []
        missing: list[str] = []
        for slug in slugs:
            surveyed = await survey.look(slug, partial(told, slug))
            found += surveyed.found
            missing += surveyed.missing
    if not slugs or (missing and not found):
        raise NotAllowed(
            "; ".join(missing) or "the API token sees no organisation",
            next_step="`rotator check` shows what the API token may do",
        )
    refs = await _refs(parts)
    held = set(refs.values())

    def tracked(each: Found) -> str | None:
        if each.ref and (each.thing is Thing.PEER, each.ref) in refs:
            return refs[each.thing is Thing.PEER, each.ref]
        name = declared(each)
        # Another token of the name is no value of the credential once its own one is known.
        return None if each.ref and name in held else name

    assessed = assess(found, tracked, parts.clock.now())
    return Discovery(slugs, assessed, tuple(missing), counted.count)


async def _refs(parts: Parts) -> dict[tuple[bool, str], str]:
    """Credentials by the issuer's ids of their values. A peer's id is its name, which a token's
    could be as well."""
    async with parts.store.view() as unit:
        names = {c.id: (c.spec.kind == Thing.PEER.value, c.name) for c in await unit.credentials()}
        versions = await unit.versions_in(_HELD)
    found = {}
    for version in versions:
        if version.issued is not None and version.issued.ref:
            is_peer, name = names[version.credential_id]
            found[is_peer, version.issued.ref] = name
    return found
