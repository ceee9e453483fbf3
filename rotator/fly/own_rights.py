"""What a token that is held may do: of rotator's own, all that goes beyond what the manifest needs.

Reading is let pass everywhere: rotator reads to discover and to watch. No call is made, so apps,
which tokens name by numbers, are counted and not named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rotator.domain.credential import CredentialSpec
from rotator.domain.discovery import APP_PROFILE
from rotator.domain.posture.organization import HeldToken, Reading
from rotator.domain.posture.rotator_facts import OwnTokenFacts, TokenForm
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly.api_token import ApiToken
from rotator.fly.bundle import Bundle, Form, read_bundle
from rotator.fly.inspection import Reading as TokenReading
from rotator.fly.inspection import Rights, read_token
from rotator.fly.leaks import issued_for_an_app, issued_then
from rotator.fly.macaroon import MacaroonError
from rotator.fly.needed import Needed, needed

_PERSONAL: Final = frozenset({Form.PERSONAL, Form.LEGACY})
MOST_NAMED: Final = 5
"""Features and mutations that are named; the rest is counted."""


class HeldTokens:
    """Implements `domain.posture.organization.TokenReader`."""

    def __init__(self, own: ApiToken) -> None:
        self._own = own

    def reading(self, value: Secret) -> Reading | None:
        """What a tracked token says."""
        readings = _readings(_bundle(value))
        if not readings:
            return None
        return Reading(
            changes_all_apps=any(_changes(each.rights.other_apps) for each in readings),
            narrowed=all(each.narrowed for each in readings),
        )

    def own_refs(self, tokens: Sequence[HeldToken]) -> frozenset[str]:
        """The ids of those that were issued at the same time and for as long as rotator's own."""
        bundle = _bundle(self._own.value)
        return frozenset(
            each.ref
            for own in (bundle.permissions if bundle is not None else ())
            for each in tokens
            if issued_then(own, each.created_at, each.expires_at)
            and issued_for_an_app(own) is (each.profile == APP_PROFILE)
        )

    def own_is_personal(self) -> bool:
        """Whether rotator's own acts as a person."""
        return _is_personal(_bundle(self._own.value))


def read_own(
    value: Secret, specs: Sequence[CredentialSpec], credential: str | None
) -> OwnTokenFacts:
    """What rotator's own token says, held against what these credentials need."""
    bundle = _bundle(value)
    if _is_personal(bundle):
        return OwnTokenFacts(TokenForm.PERSONAL, credential=credential)
    readings = _readings(bundle)
    if not readings:
        return OwnTokenFacts(TokenForm.UNREADABLE, credential=credential)
    ends = [each.expires_at for each in readings]
    wanted = needed(specs)
    excess = dict.fromkeys(said for each in readings for said in _excess(each, wanted))
    return OwnTokenFacts(
        TokenForm.LIMITED,
        made_at=min((each.not_before for each in readings if each.not_before), default=None),
        expires_at=None if None in ends else max(end for end in ends if end is not None),
        excess=tuple(excess),
        credential=credential,
    )


def _excess(reading: TokenReading, wanted: Needed) -> Iterator[str]:
    rights = reading.rights
    if not reading.organizations or 0 in reading.organizations:
        yield "it is not limited to an organisation"
    if letters := _changes(rights.other_apps):
        yield f"every app of the organisation ({letters}), and {len(wanted.apps)} are needed"
    else:
        yield from _apps(rights, wanted)
    if letters := _beyond(rights.organization, wanted.organization):
        yield f"the organisation itself ({letters})"
    features = [
        f"{name} ({letters})"
        for name, mask in rights.features.items()
        if (letters := _beyond(mask, wanted.features.get(name, 0)))
    ]
    if features:
        yield f"the features {_listed(features)}"
    if rights.mutations is None:
        if letters := _changes(rights.organization):
            yield f"every GraphQL mutation, and {len(wanted.mutations)} are needed"
    elif more := [name for name in rights.mutations if name not in wanted.mutations]:
        yield f"the mutations {_listed(more)}"


def _apps(rights: Rights, wanted: Needed) -> Iterator[str]:
    changed = [letters for each in rights.apps.values() if (letters := _changes(each))]
    if len(changed) > len(wanted.apps):
        yield f"{len(changed)} apps, and {len(wanted.apps)} are needed"
    most = 0
    for mask in wanted.apps.values():
        most |= mask
    if letters := _beyond("".join(sorted(set("".join(changed)))), most):
        yield f"more in an app than any needs ({letters})"


def _beyond(letters: str, mask: int) -> str:
    """The letters that change something and are not in the mask."""
    return c.action_letters(c.action_mask(letters) & ~mask & ~c.READ)


def _changes(letters: str) -> str:
    return _beyond(letters, 0)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _is_personal(bundle: Bundle | None) -> bool:
    return bundle is not None and any(member.form in _PERSONAL for member in bundle.members)


def _bundle(value: Secret) -> Bundle | None:
    try:
        return read_bundle(value.reveal())
    except MacaroonError:
        return None


def _readings(bundle: Bundle | None) -> list[TokenReading]:
    members: Iterable[TokenReading] = (
        () if bundle is None else (read_token(each, bundle) for each in bundle.permissions)
    )
    return list(members)
