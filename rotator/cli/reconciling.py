"""`rotator reconcile`: look at once, and tell what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rotator.cli.failures import PARTLY
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.text import print_json, say
from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.errors import InputError, RotatorError
from rotator.engine.parts import Parts
from rotator.engine.reconcile import Reconciliation, reconcile
from rotator.engine.watch import watch_expiries


@dataclass(frozen=True)
class Looked:
    """What a look at one credential showed, or why it could not be looked at."""

    name: str
    found: Reconciliation
    error: str | None = None

    @property
    def lines(self) -> Iterator[str]:
        """What there is to tell."""
        found = self.found
        if found.adopted is not None:
            yield f"adopted {found.adopted}, which stands there already"
        for gone in found.gone:
            yield f"{gone} is gone at the issuer"
        for leftover in found.leftovers:
            yield f"revoked {leftover}, which a rotation had left"
        for changed in found.changed:
            yield f"{changed} was changed by somebody else (rotator drift)"
        if self.error is not None:
            yield f"could not be looked at: {self.error}"


async def reconcile_now(names: Sequence[str], *, as_json: bool) -> int:
    """`rotator reconcile`. 3 where something could not be looked at."""
    async with opened(online=True) as rotator:
        parts = rotator.parts
        if not await daemon_is_running(rotator.store) and rotator.settings.manifest.exists():
            await rotator.sync()
        looked = await _look(parts, await _chosen(parts, names))
        await watch_expiries(parts)
    if as_json:
        print_json({"credentials": looked})
    else:
        _tell(looked)
    return PARTLY if any(each.error is not None for each in looked) else 0


async def _chosen(parts: Parts, names: Sequence[str]) -> Sequence[Credential]:
    async with parts.store.view() as unit:
        managed = {c.name: c for c in await unit.credentials(status=CredentialStatus.MANAGED)}
    for name in names:
        if name not in managed:
            raise InputError(
                f"there is no credential {name!r}", next_step="`rotator list` shows them"
            )
    return [managed[name] for name in dict.fromkeys(names)] if names else list(managed.values())


async def _look(parts: Parts, credentials: Sequence[Credential]) -> Sequence[Looked]:
    looked = []
    with parts.calls.remembering(parts.limits.list_lag / 2):
        for credential in credentials:
            try:
                looked.append(Looked(credential.name, await reconcile(parts, credential)))
            except RotatorError as error:
                looked.append(Looked(credential.name, Reconciliation(), str(error)))
    return looked


def _tell(looked: Sequence[Looked]) -> None:
    told = 0
    for each in looked:
        for line in each.lines:
            say(f"{each.name}: {line}")
            told += 1
    count = "1 credential" if len(looked) == 1 else f"{len(looked)} credentials"
    say(f"{count} looked at" + ("" if told else ", nothing new"))
