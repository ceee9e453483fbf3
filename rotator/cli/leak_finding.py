"""What a text that somebody has found is: a tracked version, an entry of Fly's list, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rotator.cli.inspected import FORMS, sentence
from rotator.cli.text import moment, say
from rotator.domain.credential import Credential, Version
from rotator.domain.errors import InputError
from rotator.domain.leak import Found
from rotator.domain.secret import Secret
from rotator.engine.leak_finding import known, stranger
from rotator.fly.bundle import Bundle, Form, read_bundle
from rotator.fly.inspection import Reading, read_token
from rotator.fly.macaroon import MacaroonError

if TYPE_CHECKING:
    from rotator.wiring import Rotator


@dataclass(frozen=True)
class Finding:
    """What the text is: a tracked version, or else what can be told of it."""

    value: Secret
    bundle: Bundle | None
    readings: Sequence[Reading]
    version: tuple[Credential, Version] | None
    how: str
    alive: Sequence[str] | None = None
    listed: Sequence[Found] = ()


async def find(rotator: Rotator, value: Secret) -> Finding:
    """Look it up: by its nonce, among the sealed values, then at Fly.

    Raises:
        InputError: it is nothing that Fly or rotator knows of.
    """
    bundle, readings = _read(value)
    tokens = rotator.client.leaked
    found = await known(rotator.parts, tokens, value)
    if found is not None:
        at = (found.credential, found.version)
        return Finding(value, bundle, readings, at, found.how)
    if bundle is None or all(each.form is Form.UNKNOWN for each in bundle.members):
        raise InputError(
            "that is no token that Fly is known for, and no value that rotator holds",
            where="standard input",
            next_step="give all of it, as it was found",
        )
    other = await stranger(rotator.parts, tokens, value)
    how = "rotator does not track it"
    return Finding(value, bundle, readings, None, how, other.alive, other.listed)


def _read(value: Secret) -> tuple[Bundle | None, Sequence[Reading]]:
    try:
        bundle = read_bundle(value.reveal())
    except MacaroonError:
        return None, ()
    return bundle, [read_token(each, bundle) for each in bundle.permissions]


def tell(finding: Finding, now: datetime) -> None:
    """Say what it is, without showing it."""
    for reading in finding.readings:
        say(f"{reading.kind} {reading.fingerprint}")
        say(f"  {sentence(reading, now)}")
    for member in finding.bundle.members if finding.bundle and not finding.readings else ():
        say(FORMS[member.form])
    say(f"  {finding.how}")
    if finding.version is not None:
        _, version = finding.version
        told = version.issued.name if version.issued else "no name"
        say(f"  version {version.id} ({version.state.value}), {told} at its issuer")
        return
    for each in finding.listed:
        ended = f", revoked {moment(each.revoked_at)}" if each.revoked_at else ""
        say(
            f"  at Fly: {each.name!r} ({each.ref}), made by {each.made_by or 'nobody named'} "
            f"{moment(each.created_at)}{ended}"
        )
    if len(finding.listed) > 1:
        say("  these can't be told apart from outside, so it is revoked by its own text")
    alive = "accepts" if finding.alive is not None else "does not accept"
    say(f"  Fly {alive} it")
