"""Rotator's own API token: an organisation token with just what the manifest needs.

What that is follows from the other credentials when the manifest is read (`derived`), and stands in
the spec's parameters from then on: so it can be seen, proven, and compared with what was needed
when the token was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from rotator.domain.credential import CredentialSpec, Issued, TargetSpec
from rotator.domain.errors import NeedsHuman
from rotator.domain.fields import Params
from rotator.domain.ports import Clock
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import needed
from rotator.fly.access import Access
from rotator.fly.organizations import Organization
from rotator.kinds import token_scope
from rotator.kinds.limited_token import TOKEN_NAME, LimitedTokenKind
from rotator.kinds.token_ports import IdentityClient, TokenClient
from rotator.kinds.token_value import copied, numbers_of

APPS: Final = "needs.apps"
FEATURES: Final = "needs.features"
MUTATIONS: Final = "needs.mutations"
ORGANIZATION_ACTIONS: Final = "needs.organization"


class RotatorTokenKind(LimitedTokenKind):
    """Delivered to rotator's own app for its next start. No machine has to be restarted for it, or
    waited for: workers take it up from the database."""

    name = needed.OWN

    def __init__(self, tokens: TokenClient, identities: IdentityClient, clock: Clock) -> None:
        super().__init__(tokens, identities, clock)
        self.fields = (TOKEN_NAME,)

    def derived(self, spec: CredentialSpec, everything: Sequence[CredentialSpec]) -> CredentialSpec:
        """The spec with what all of them need. Pure."""
        targets = tuple(_unread(target) for target in spec.targets)
        spec = replace(spec, targets=targets)
        others = [spec if each.name == spec.name else each for each in everything]
        wanted = needed.needed(others)
        params: Params = {
            **spec.params,
            APPS: _rows(wanted.apps),
            FEATURES: _rows(wanted.features),
            MUTATIONS: tuple(wanted.mutations),
            ORGANIZATION_ACTIONS: needed.letters_of(wanted.organization),
        }
        return replace(spec, params=params)

    async def _scope(
        self, spec: CredentialSpec
    ) -> tuple[Organization, dict[str, int], dict[str, object]]:
        organization = await self._identities.organization(spec.organization)
        numbers: dict[str, int] = {}
        for name in _masks(spec.params, APPS):
            app = await self._identities.app(name)
            if app.organization.id != organization.id:
                raise NeedsHuman(
                    f"the app {name} is not in the organisation {spec.organization}",
                    next_step="mend `app` in the manifest",
                )
            numbers[app.name] = app.number
        return organization, numbers, {}

    def _narrowed(
        self, spec: CredentialSpec, issued: Issued, header: Secret, end: datetime
    ) -> Secret:
        _, numbers = numbers_of(issued)
        apps, features, mutations, organization = _rights(spec.params, numbers)
        caveat = needed.caveat_of(apps, features, mutations, organization)
        return copied(header, [(caveat, c.validity_window(self._clock.now(), end))])

    def _policy(self, spec: CredentialSpec, issued: Issued) -> token_scope.Policy:
        number, numbers = numbers_of(issued)
        rights = _rights(spec.params, numbers)
        asked = datetime.fromisoformat(issued.facts["asked_expiry"])

        def permits(access: Access) -> bool:
            return access.organization == number and needed.permits(access, *rights)

        return token_scope.Policy(
            organization=number,
            apps=tuple(numbers.values()),
            permits=permits,
            copies=1,
            bind=None,
            needed_until=asked,
            not_after=asked,
            mutations=rights[2],
        )


def _unread(target: TargetSpec) -> TargetSpec:
    return replace(target, app=None)


def _rows(masks: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(f"{name}={needed.letters_of(mask)}" for name, mask in sorted(masks.items()))


def _masks(params: Params, name: str) -> dict[str, int]:
    rows = params.get(name, ())
    pairs = (row.rpartition("=") for row in (rows if isinstance(rows, tuple) else ()))
    return {key: c.action_mask(letters) for key, _, letters in pairs}


def _rights(
    params: Params, numbers: Mapping[str, int]
) -> tuple[dict[int, int], dict[str, int], tuple[str, ...], int]:
    apps = {numbers[name]: mask for name, mask in _masks(params, APPS).items() if name in numbers}
    mutations = params.get(MUTATIONS, ())
    return (
        apps,
        _masks(params, FEATURES),
        mutations if isinstance(mutations, tuple) else (),
        c.action_mask(str(params.get(ORGANIZATION_ACTIONS, ""))),
    )
