"""From tokens to the traces that `domain.lineage` knows them by."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.domain import lineage
from rotator.domain.secret import Secret
from rotator.fly.bundle import Bundle, read_bundle
from rotator.fly.macaroon import MacaroonError, fingerprint, nonce_uuid


def traces(value: Secret) -> tuple[lineage.Trace, ...]:
    """What the permission tokens of a text show.

    Raises:
        MacaroonError: the text is empty, too long, or has too many members.
    """
    bundle = read_bundle(value.reveal())
    return tuple(_traces(bundle))


def _traces(bundle: Bundle) -> Iterable[lineage.Trace]:
    for token in bundle.permissions:
        missing = tuple(party.location for party in bundle.missing(token))
        yield lineage.Trace(str(nonce_uuid(token)), fingerprint(token), len(token.caveats), missing)


def lineage_facts(*values: Secret) -> dict[str, str]:
    """What is kept of a version's lineage, from all the forms that its value takes (sealed, bound).

    All forms come from one token. Empty where the value holds no permission token that can be read.
    """
    try:
        found = [trace for value in values for trace in traces(value)]
    except MacaroonError:
        return {}
    if not found:
        return {}
    return lineage.facts(found[0].lineage, {trace.fingerprint: trace.caveats for trace in found})
