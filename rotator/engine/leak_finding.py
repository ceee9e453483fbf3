"""What a leaked text is: a tracked version, an entry of Fly's lists, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.domain.credential import Credential, Version
from rotator.domain.leak import Found, FoundTokens
from rotator.domain.secret import Secret
from rotator.engine import leak
from rotator.engine.lineage import recognise
from rotator.engine.parts import Parts


@dataclass(frozen=True)
class Known:
    """A tracked version, and in what way it was recognised."""

    credential: Credential
    version: Version
    how: str


@dataclass(frozen=True)
class Stranger:
    """A token that rotator does not track: the organisations for which Fly accepts it (None where
    it does not), and the entries of their lists that it may be."""

    alive: Sequence[str] | None
    listed: Sequence[Found]

    @property
    def one(self) -> Found | None:
        """The only entry that it can be."""
        return self.listed[0] if len(self.listed) == 1 else None


async def known_by_nonce(parts: Parts, tokens: FoundTokens, value: Secret) -> Known | None:
    """The version that a token is or comes from. Makes no outside call, and costs the same however
    much is tracked."""
    traces = tokens.traces(value)
    found = await recognise(parts, traces) if traces else ()
    if not found:
        return None
    first = found[0]
    return Known(first.credential, first.version, first.sentence)


async def known(parts: Parts, tokens: FoundTokens, value: Secret) -> Known | None:
    """The version that a text is: by its nonce, else among the sealed values. Makes no outside
    call."""
    found = await known_by_nonce(parts, tokens, value)
    if found is not None:
        return found
    same = await leak.same_value(parts, value)
    return Known(*same, f"it is the value of {same[0].name}") if same is not None else None


async def stranger(parts: Parts, tokens: FoundTokens, value: Secret) -> Stranger:
    """What Fly knows of a token that is not tracked."""
    alive = await tokens.accepted(value)
    slugs = await leak.organizations_of(parts, alive or ())
    return Stranger(alive, await tokens.listed(value, slugs))
