"""Holds what organisations have of tokens, peers and people against its rules."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.discovery import Thing
from rotator.domain.errors import InputError, NeedsHuman, RotatorError
from rotator.domain.ports import Store, Unit
from rotator.domain.posture.finding import Finding, Inspected, Missing, RotationWish, Topic
from rotator.domain.posture.organization import (
    OWN_KIND,
    Holdings,
    HoldingsReader,
    OrganizationSnapshot,
    Reading,
    TokenReader,
    Tracking,
)
from rotator.domain.posture.policy import OnLeaver, PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.rules_peers import check_peers
from rotator.domain.posture.rules_people import check_people, leavers
from rotator.domain.posture.rules_tokens import check_personal, check_tokens

_log = logging.getLogger(__name__)
_HELD: Final = frozenset({VersionState.PENDING, VersionState.CURRENT, VersionState.RETIRING})


class OrganizationInspector:
    """Implements `domain.posture.ports.Inspector`."""

    topics = frozenset({Topic.TOKENS, Topic.PEERS, Topic.PEOPLE})

    def __init__(self, store: Store, reader: HoldingsReader, values: TokenReader) -> None:
        self._store, self._reader, self._values = store, reader, values

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """Look once."""
        findings: list[Finding] = []
        missing: list[Missing] = []
        wishes: list[RotationWish] = []
        for organization in scope.organizations:
            holdings = await self._reader.read(organization, scope.app)
            # The inventory comes second: what was made meanwhile is in it, not in the list.
            snapshot = await self._joined(holdings)
            missing += holdings.missing
            findings += check_tokens(snapshot, policy, now)
            findings += check_peers(snapshot, policy, now)
            findings += check_people(snapshot, now)
            if policy.on_leaver is OnLeaver.ROTATE:
                wishes += leavers(snapshot, now)
        if scope.app is None and self._values.own_is_personal():
            findings += await self._personal(missing, now)
        return Inspected(tuple(findings), tuple(missing), tuple(wishes))

    async def _personal(self, missing: list[Missing], now: datetime) -> tuple[Finding, ...]:
        try:
            return check_personal(await self._reader.personal_tokens(), now)
        except RotatorError as error:
            missing.append(Missing(Topic.TOKENS, "", "", error.message))
            return ()

    async def _joined(self, holdings: Holdings) -> OrganizationSnapshot:
        own = self._values.own_refs(holdings.tokens)
        tokens = dict.fromkeys(own, Tracking("", OWN_KIND))
        peers: dict[str, Tracking] = {}
        listed = {token.ref for token in holdings.tokens} | {peer.name for peer in holdings.peers}
        async with self._store.view() as unit:
            credentials = {each.id: each for each in await unit.credentials()}
            for version in await unit.versions_in(_HELD):
                credential = credentials[version.credential_id]
                if version.issued is None or version.issued.ref not in listed:
                    continue
                if credential.spec.organization != holdings.organization:
                    continue
                # A peer's id is its name, which a token's could be as well.
                if credential.spec.kind == Thing.PEER.value:
                    peers[version.issued.ref] = _tracking(credential, version, None)
                else:
                    reading = await self._reading(unit, version)
                    tokens[version.issued.ref] = _tracking(credential, version, reading)
        return OrganizationSnapshot(holdings, tokens, peers)

    async def _reading(self, unit: Unit, version: Version) -> Reading | None:
        if not version.sealed:
            return None
        try:
            value = await unit.unseal(version.id)
        except (NeedsHuman, InputError) as error:
            _log.debug("the value of version %s can't be read: %s", version.id, error)
            return None
        return self._values.reading(value) if value is not None else None


def _tracking(credential: Credential, version: Version, reading: Reading | None) -> Tracking:
    spec = credential.spec
    return Tracking(
        credential=spec.name,
        kind=spec.kind,
        observed=spec.observed,
        since=version.since,
        reading=reading,
        minted=version.rotation_id is not None,
        retiring=version.state is VersionState.RETIRING,
    )
