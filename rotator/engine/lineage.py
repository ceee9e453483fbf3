"""Which tracked credential a found token is, or comes from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from rotator.domain.credential import Version
from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.lineage import LINEAGE, Recognised, Trace, facts, kinship
from rotator.domain.ports import Traceable, Unit
from rotator.engine.parts import Parts

_log = logging.getLogger(__name__)
UNTRACEABLE: Final = "-"
"""Lineage of a value that has none, so that it is looked at once only."""
_PAGE: Final = 100


async def recognise(parts: Parts, traces: Sequence[Trace]) -> Sequence[Recognised]:
    """The versions that found tokens are, or come from, in the order of the tokens.

    Versions in every state are known, also long after their value was erased, and also those of
    credentials that the manifest no longer names. Makes no outside call.
    """
    try:
        await learn_lineages(parts)
    except (NeedsHuman, InputError) as error:
        _log.warning("older values can't be traced: %s", error)
    found: list[Recognised] = []
    async with parts.store.view() as unit:
        for trace in traces:
            for version in await unit.versions_of_lineage(trace.lineage):
                kin = kinship(trace, version.issued) if version.issued else None
                if kin is not None:
                    credential = await unit.credential_by_id(version.credential_id)
                    found.append(Recognised(trace, kin, credential, version))
    return found


async def learn_lineages(parts: Parts) -> int:
    """Trace the values that an earlier rotator sealed without keeping their lineage. Gives how many
    were looked at."""
    kinds = {name: kind for name, kind in parts.kinds.items() if isinstance(kind, Traceable)}
    learned = 0
    while not parts.stopping.is_set():
        async with parts.store.view() as unit:
            if not await unit.untraced(tuple(kinds), 1):
                return learned
        async with parts.store.unit() as unit:
            for version in await unit.untraced(tuple(kinds), _PAGE):
                await unit.save_version(await _traced(kinds, unit, version))
                learned += 1
    return learned


async def _traced(kinds: Mapping[str, Traceable], unit: Unit, version: Version) -> Version:
    credential = await unit.credential_by_id(version.credential_id)
    value = await unit.unseal(version.id)
    kind = kinds[credential.spec.kind]
    issued = version.issued
    assert issued is not None
    if value is not None:
        issued = kind.traced(credential.spec, issued, value)
    if LINEAGE not in issued.facts:
        issued = replace(issued, facts={**issued.facts, **facts(UNTRACEABLE, {})})
    return replace(version, issued=issued)
