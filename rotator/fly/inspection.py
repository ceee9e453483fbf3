"""What a token may do, until when and how safe that is, read from the token alone.

Nothing here proves that a token is genuine or that it still works: only Fly can tell. What can be
told is the most that it may do, because nobody can take a caveat off again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from rotator.fly import caveats as c
from rotator.fly.access import MEMBERS_MAY, Access, Source, actions
from rotator.fly.bundle import Bundle
from rotator.fly.macaroon import (
    TAIL_BYTES,
    Macaroon,
    app_ids,
    expires_at,
    fingerprint,
    nonce_uuid,
    not_before,
    organization_ids,
)
from rotator.fly.third_party import bound_to, third_parties

MAX_JUDGED: Final = 50
"""Apps, mutations or commands of a list that are worked out one by one; the rest is left out."""
MAX_PLACES: Final = 5
"""Apps in which each of them is tried."""
MINTING: Final = "createLimitedAccessToken"
_MACHINE: Final = "00000000000000"
_LISTS: Final = (c.APPS, c.MUTATIONS, c.COMMANDS)
_UNLISTED: Final = ("rotator-unlisted-command",)


@dataclass(frozen=True)
class Rights:
    """Masks of actions, in Fly's letters: `rwcdC`. None for lists that are not limited.

    Of long lists the first `MAX_JUDGED` are told.

    `any_command` tells whether commands that nobody has listed may be run in machines.
    """

    organization: str
    apps: dict[int, str]
    other_apps: str
    features: dict[str, str]
    mutations: tuple[str, ...] | None
    commands: tuple[str, ...] | None
    any_command: bool


@dataclass(frozen=True)
class Party:
    """A third party whose word the token needs. `bound` is None where that can't be told."""

    location: str
    discharged: bool
    bound: bool | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """One permission token, read.

    `fingerprint` names this very token: SHA-256 over a label and its bytes, cut to 64 bits.
    `lineage` is the same for it and everything narrowed from it: Fly's own audit id, made of the
    issuer's key id and the token's random 16 bytes, which are not the secret in it.
    """

    kind: str
    fingerprint: str
    lineage: str
    organizations: tuple[int, ...]
    apps: tuple[int, ...] | None
    rights: Rights
    source: Source | None
    not_before: datetime | None
    expires_at: datetime | None
    usable_until: datetime | None
    narrowed: tuple[str, ...]
    third_parties: tuple[Party, ...]
    problems: tuple[str, ...]
    caveats: tuple[str, ...] = field(default=())


def read_token(token: Macaroon, bundle: Bundle) -> Reading:
    """Read one permission token of a bundle."""
    rights = _rights(token)
    parties = tuple(_parties(token, bundle))
    ends = [expires_at(token), *(party.expires_at for party in parties)]
    return Reading(
        kind=_kind(token, rights),
        fingerprint=fingerprint(token),
        lineage=str(nonce_uuid(token)),
        organizations=tuple(sorted(organization_ids(token))),
        apps=None if (found := app_ids(token)) is None else tuple(sorted(found)),
        rights=rights,
        source=_source(token),
        not_before=not_before(token),
        expires_at=expires_at(token),
        usable_until=min((end for end in ends if end is not None), default=None),
        narrowed=tuple(_signs_of_narrowing(token)),
        third_parties=parties,
        problems=tuple(_problems(token)),
        caveats=tuple(each.name for each in token.caveats),
    )


def together(readings: Sequence[Reading]) -> str:
    """What the permission tokens of a bundle are when taken together."""
    if len(readings) == 1:
        return readings[0].kind
    logs_in = any("issueCertificate" in (each.rights.mutations or ()) for each in readings)
    if len(readings) == 2 and len({each.lineage for each in readings}) == 1 and logs_in:
        return "ssh token"
    return f"{len(readings)} tokens" if readings else "no permission token"


def makes_tokens(rights: Rights) -> bool:
    """Whether it may make tokens of its organisation."""
    if rights.mutations is not None:
        return MINTING in rights.mutations
    return "c" in rights.organization


def _rights(token: Macaroon) -> Rights:
    organization = _one_organization(token)
    base = Access(organization, source=_source(token))
    every = sorted(app_ids(token) or ())
    named, other = every[:MAX_JUDGED], max(every, default=0) + 1

    def letters(**wanted: object) -> str:
        access = Access(organization, source=base.source, **wanted)  # type: ignore[arg-type]
        return c.action_letters(actions(token.caveats, access))

    reachable = [*named[:MAX_PLACES], other]
    return Rights(
        organization=letters(),
        apps={app: letters(app=app) for app in named},
        other_apps=letters(app=other),
        features={feature: letters(feature=feature) for feature in MEMBERS_MAY},
        mutations=_mutations(token, base, reachable),
        commands=_commands(token, base, reachable),
        any_command=any(
            _may(token, base, app=app, machine=_MACHINE, command=_UNLISTED) for app in reachable
        ),
    )


def _one_organization(token: Macaroon) -> int:
    """The one that it is limited to; any other number says the same of one without a limit."""
    return next((number for number in sorted(organization_ids(token)) if number), 1)


def _mutations(token: Macaroon, base: Access, apps: Iterable[int]) -> tuple[str, ...] | None:
    """The mutations that a list allows and everything else allows too; None without a list."""
    lists = [each.fields[0] for each in _every(token, c.MUTATIONS) if each.fields]
    if not lists:
        return None
    names = dict.fromkeys(str(name) for each in lists if isinstance(each, tuple) for name in each)
    # What makes the most difference is looked at first, so that a long list can't hide it.
    judged = sorted(names, key=lambda name: name != MINTING)[:MAX_JUDGED]
    places: list[dict[str, object]] = [{}, {"feature": "wg"}]
    places += [{"app": app} for app in apps]
    return tuple(
        name
        for name in judged
        if any(_may(token, base, mutation=name, **place) for place in places)
    )


def _commands(token: Macaroon, base: Access, apps: Sequence[int]) -> tuple[str, ...] | None:
    """Commands, those of which only the beginning is given with an ellipsis."""
    lists = [each.fields[0] for each in _every(token, c.COMMANDS) if each.fields]
    if not lists:
        return None
    entries = [entry for each in lists if isinstance(each, tuple) for entry in each]
    return tuple(
        dict.fromkeys(
            " ".join(arguments) + ("" if exact else " …" if arguments else "…")
            for arguments, exact in entries[:MAX_JUDGED]
            if any(_may(token, base, app=app, machine=_MACHINE, command=arguments) for app in apps)
        )
    )


def _may(token: Macaroon, base: Access, **wanted: object) -> bool:
    """Whether it may be done: mutations and commands are more than reading."""
    access = Access(base.organization, source=base.source, **wanted)  # type: ignore[arg-type]
    return actions(token.caveats, access) & ~c.READ != 0


def _every(token: Macaroon, type_number: int) -> list[c.Caveat]:
    return [each for each in c.walk(token.caveats) if each.type == type_number]


def _source(token: Macaroon) -> Source | None:
    """The place that it works from, if it is bound to one."""
    found: Source | None = None
    for each in token.caveats:
        if each.type == c.FLY_SRC and each.fields:
            named = [str(part) for part in each.fields]
            known = (found.organization, found.app, found.machine) if found else ("", "", "")
            found = Source(*(new or old for new, old in zip(named, known, strict=True)))
        if each.type == c.FROM_MACHINE and each.fields:
            found = replace(found or Source(), machine=str(each.fields[0]))
    return found


def _kind(token: Macaroon, rights: Rights) -> str:
    """What `fly tokens create` would call it, as far as its caveats tell."""
    apps, only_reads = app_ids(token), _only_reads(rights)
    if not organization_ids(token):
        return "token without an organisation"
    if rights.commands is not None:
        return "machine-exec token"
    if apps == frozenset() and rights.features["wg"]:
        return "WireGuard token"
    if rights.mutations is not None and not rights.other_apps and not any(rights.apps.values()):
        return "token for some mutations"
    if apps is not None:
        return "read-only token of some apps" if only_reads else "deploy token"
    return "read-only token" if only_reads else "organisation token"


def _only_reads(rights: Rights) -> bool:
    masks = (rights.organization, rights.other_apps, *rights.apps.values())
    return not rights.mutations and set("".join((*masks, *rights.features.values()))) <= {"r"}


def _signs_of_narrowing(token: Macaroon) -> Iterable[str]:
    """What a holder has probably added. An issuer's caveats look the same, so these are signs."""
    top = [each for each in token.caveats if each.type != c.THIRD_PARTY]
    kinds = [each.type for each in top]
    if kinds.count(c.ORGANIZATION) > 1:
        yield "names its organisation twice"
    if c.VALIDITY_WINDOW in kinds[:-1]:
        yield "caveats behind its first window of time"
    for number in (c.ACTION, c.MUTATIONS, c.COMMANDS, c.FLY_SRC):
        if number in kinds:
            yield c.TYPE_NAMES[number]
    if any(inner.type == c.COMMANDS for each in top for inner in each.nested):
        yield "a list of commands"


def _parties(token: Macaroon, bundle: Bundle) -> Iterable[Party]:
    for party in third_parties(token):
        words = bundle.discharges_of(party)
        if not words:
            yield Party(party.location, discharged=False)
            continue
        ends = [expires_at(word) for word in words]
        last = None if None in ends else max(end for end in ends if end is not None)
        yield Party(party.location, True, bound_to(words[0], token), last)


def _problems(token: Macaroon) -> Iterable[str]:
    unknown = sorted({each.name for each in c.walk(token.caveats) if each.fields is None})
    if unknown:
        yield f"it has caveats that rotator does not understand: {', '.join(unknown)}"
    if not all(each.canonical for each in token.caveats if each.fields is not None):
        yield "it is not written as Fly writes it, so Fly can't accept it"
    lists = [each.fields[0] for kind in _LISTS for each in _every(token, kind) if each.fields]
    if any(isinstance(each, dict | tuple) and len(each) > MAX_JUDGED for each in lists):
        yield f"it has a list of more than {MAX_JUDGED} entries, of which only some are told"
    if token.trailing:
        yield f"{token.trailing} bytes follow it, which Fly ignores"
    if len(token.tail) != TAIL_BYTES:
        yield "its signature has the wrong size, so Fly can't accept it"
