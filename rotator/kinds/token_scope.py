"""Hold a delivered token against the manifest: it must not do more, nor live longer, than it says.

The token is read, not trusted: what it allows is worked out from its caveats for a grid of things
that tokens can do, and each is asked of the manifest's own rule, which knows nothing of caveats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Final

from rotator.domain.errors import NeedsHuman, Refused
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon, third_party
from rotator.fly.access import MEMBERS_MAY, Access, Source, actions, allows
from rotator.fly.bundle import Bundle, read_bundle
from rotator.kinds.narrowing import Bind, Command

EXPIRY_SLACK: Final = timedelta(minutes=10)
"""How far from what was asked Fly's clock may let the token end."""
ANY_MACHINE: Final = "00000000000000"
UNLISTED_COMMAND: Final = ("rotator-unlisted-command",)
KNOWN_MUTATIONS: Final = (
    "createLimitedAccessToken",
    "deleteLimitedAccessToken",
    "addWireGuardPeer",
    "removeWireGuardPeer",
    "issueCertificate",
    "deleteApp",
    "deleteOrganization",
    "setSecrets",
)
_VERBS: Final = ("read", "write", "create", "delete", "control")


@dataclass(frozen=True)
class Policy:
    """What a token may be at most.

    `apps` are the numbers of the apps that the manifest names. `permits` is its rule. The token
    must end between `needed_until` and `not_after`, give or take the slack.
    """

    organization: int
    apps: tuple[int, ...]
    permits: Callable[[Access], bool]
    copies: int
    bind: Bind | None
    needed_until: datetime
    not_after: datetime
    mutations: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()


def judge(delivered: Secret, policy: Policy) -> Mapping[str, str]:
    """Public details of a token that is within the policy.

    Raises:
        Refused: it can't be read, or may do more or live longer, or would die too early.
        NeedsHuman: it needs the word of a third party that Fly's answer does not hold.
    """
    found = _read(delivered)
    tokens = found.permissions
    if len(tokens) != policy.copies:
        raise Refused(f"the new token holds {len(tokens)} permission tokens, not {policy.copies}")
    for token in tokens:
        _check_place(token, policy)
        _check_rights(token, policy)
    ends = _check_life(found, policy)
    return {
        "fingerprint": ",".join(macaroon.fingerprint(token) for token in tokens),
        "nonce": str(macaroon.nonce_uuid(tokens[0])),
        "expires_at": ends.isoformat(),
    }


def may(value: Secret, access: Access) -> bool:
    """Whether a token allows something, as far as it can be read."""
    return any(allows(token.caveats, access) for token in _read(value).permissions)


def _read(value: Secret) -> Bundle:
    try:
        found = read_bundle(value.reveal())
    except macaroon.MacaroonError as error:
        raise Refused(f"the new token can't be read: {error}") from None
    faults = [member.fault for member in found.members if member.fault]
    if faults:
        raise Refused(f"the new token can't be read: {faults[0]}")
    return found


def _check_place(token: macaroon.Macaroon, policy: Policy) -> None:
    if policy.organization not in _organizations(token):
        raise Refused("the new token is not limited to the organisation that it was asked for")
    if policy.bind is None:
        return
    here = _source(policy.bind)
    elsewhere = [None, replace(here, app="another"), replace(here, organization="another")]
    if policy.bind.machine:
        elsewhere.append(replace(here, machine=ANY_MACHINE))
    for access, source in product(probes(policy), elsewhere):
        if actions(token.caveats, replace(access, source=source)):
            raise Refused(f"the new token works from elsewhere than {policy.bind}")


def _organizations(token: macaroon.Macaroon) -> set[object]:
    """Those that it is limited to whatever is wanted."""
    limits = (each for each in token.caveats if each.type == c.ORGANIZATION and each.fields)
    return {each.fields[0] for each in limits if each.fields}


def _check_rights(token: macaroon.Macaroon, policy: Policy) -> None:
    source = _source(policy.bind) if policy.bind else None
    for probe in probes(policy):
        allowed = actions(token.caveats, replace(probe, source=source))
        for place, verb in enumerate(_VERBS):
            access = replace(probe, action=1 << place)
            if allowed & access.action and not policy.permits(access):
                raise Refused(
                    f"the new token may {verb} {_said(access, policy)}, "
                    "which is more than the manifest allows"
                )


def _check_life(found: Bundle, policy: Policy) -> datetime:
    """When the first of the parts that it needs ends."""
    ends: list[datetime] = []
    for token in found.permissions:
        own = macaroon.expires_at(token)
        if own is None or own > policy.not_after + EXPIRY_SLACK:
            raise Refused("the new token would live longer than was asked")
        ends.append(own)
        for party in third_party.third_parties(token):
            words = found.discharges_of(party)
            if not words:
                raise NeedsHuman(
                    f"the new token needs the word of {party.location}, which did not come with it",
                    next_step="let tokens of the organisation go without that third party",
                )
            lives = [macaroon.expires_at(word) for word in words]
            if None not in lives:
                ends.append(max(end for end in lives if end is not None))
    usable = min(ends)
    if usable < policy.needed_until - EXPIRY_SLACK:
        raise Refused(
            f"the new token would end at {usable:%Y-%m-%d %H:%M} UTC, before the rotation that is "
            "to replace it"
        )
    return usable


def probes(policy: Policy) -> Iterator[Access]:
    """The grid. Actions are not part of it: each probe stands for all of them. Nor are other
    organisations: a token that names this one works in no other."""
    other_app = max(policy.apps, default=0) + 1
    mutations = dict.fromkeys((*policy.mutations, *KNOWN_MUTATIONS))
    commands = [*_tried(policy.commands), UNLISTED_COMMAND]
    base = Access(policy.organization)
    yield base
    yield from (replace(base, feature=feature) for feature in MEMBERS_MAY)
    yield from (replace(base, mutation=name) for name in mutations)
    yield replace(base, mutation="addWireGuardPeer", feature="wg")
    for app in (*policy.apps, other_app):
        of_app = replace(base, app=app)
        yield of_app
        yield from (replace(of_app, mutation=name) for name in mutations)
        machine = replace(of_app, machine=ANY_MACHINE)
        yield machine
        yield from (replace(machine, command=command) for command in commands)


def _tried(commands: Iterable[Command]) -> Iterator[tuple[str, ...]]:
    """Each command as it stands and with one argument more."""
    for arguments, _ in commands:
        yield arguments
        yield (*arguments, "--more")


def _said(access: Access, policy: Policy) -> str:
    where = "the organisation"
    if access.app is not None:
        where = "the app" if access.app in policy.apps else "another app"
    if access.command is not None:
        return f"{where} by a command that is not listed"
    if access.mutation is not None:
        return f"{where} by the mutation {access.mutation}"
    if access.feature is not None:
        return f"{where}'s feature {access.feature}"
    return where if access.machine is None else f"machines of {where}"


def _source(bind: Bind) -> Source:
    return Source(bind.organization, bind.app, bind.machine or ANY_MACHINE)
