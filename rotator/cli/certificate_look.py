"""`rotator certificates`: look at them now, with what rules find and what comes next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

from rotator.cli.certificate_view import Seen, as_data, show_seen
from rotator.cli.failures import PARTLY
from rotator.cli.session import opened
from rotator.cli.text import print_json
from rotator.domain.certificate_alarms import Recheck
from rotator.domain.credential import CredentialMode
from rotator.domain.errors import InputError, NotFound
from rotator.domain.names import wrong_app, wrong_organization
from rotator.domain.posture.certificate import CertificateSnapshot
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_certificates import findings
from rotator.engine.certificates.look import Looked
from rotator.engine.certificates.recheck import Rechecker
from rotator.engine.certificates.watch import cursor_name
from rotator.manifest import Manifest
from rotator.wiring import Rotator


async def show_certificates(organizations: Sequence[str], app: str | None, *, as_json: bool) -> int:
    """`rotator certificates`. 3 where a part could not be read."""
    _check(organizations, app)
    async with opened(online=True) as rotator:
        manifest = _manifest(rotator, required=not organizations)
        slugs = tuple(dict.fromkeys(organizations)) or (manifest.organization if manifest else "",)
        looked = await _look(rotator, slugs, app)
        now = rotator.parts.clock.now()
        seen = [await _seen(rotator, manifest, each, now) for each in looked.snapshots]
        due = await _next_looks(rotator, slugs)
    if as_json:
        print_json(as_data(seen, looked.unread, due, now))
    else:
        show_seen(seen, slugs, due, now)
    for unread in looked.unread:
        place = unread.app or unread.organization
        print(f"rotator: not read: {place}: {unread.why}", file=sys.stderr)  # noqa: T201
    return PARTLY if looked.unread else 0


def _check(organizations: Sequence[str], app: str | None) -> None:
    """Refuse what can't be meant, before anything is asked."""
    for slug in organizations:
        if (problem := wrong_organization(slug)) is not None:
            raise InputError(problem, where="--org")
    if app is not None and (problem := wrong_app(app)) is not None:
        raise InputError(problem, where="--app")
    if app is not None and len(organizations) > 1:
        raise InputError("an app is of one organisation", where="--org")


def _manifest(rotator: Rotator, *, required: bool) -> Manifest | None:
    """The manifest; with --org it need not be there."""
    if required or rotator.settings.manifest.exists():
        return rotator.manifest()
    return None


async def _look(rotator: Rotator, slugs: Sequence[str], app: str | None) -> Looked:
    try:
        return await rotator.certificate_eyes().look(slugs, app)
    except NotFound:
        raise InputError(
            "there is no such app, or the API token may not see it",
            where="--app",
            next_step="`rotator discover` lists what the token sees",
        ) from None


async def _seen(
    rotator: Rotator, manifest: Manifest | None, snapshot: CertificateSnapshot, now: datetime
) -> Seen:
    policy = manifest.posture if manifest is not None else PosturePolicy()
    found = tuple(findings(snapshot, policy, now))
    return Seen(
        snapshot, policy.certificate_days, found, await _recheck(rotator, manifest, snapshot)
    )


async def _recheck(
    rotator: Rotator, manifest: Manifest | None, snapshot: CertificateSnapshot
) -> Recheck:
    """What the daemon makes of it."""
    if not rotator.settings.certificate_recheck:
        return Recheck(due=False, at=None, why="ROTATOR_CERTIFICATE_RECHECK is false")
    if manifest is None or manifest.organization != snapshot.organization:
        return Recheck(due=False, at=None, why="the manifest is for another organisation")
    if manifest.mode is CredentialMode.OBSERVE:
        return Recheck(due=False, at=None, why="the manifest only observes")
    rechecker = Rechecker(
        rotator.parts,
        rotator.client.certificate_reading,
        cursor_name(snapshot.organization),
        manifest.posture.certificate_days,
    )
    async with rotator.store.view() as unit:
        return await rechecker.plan(unit, snapshot, rotator.parts.clock.now())


async def _next_looks(rotator: Rotator, slugs: Sequence[str]) -> dict[str, datetime | None]:
    """When a daemon looks at each next; None where none ever has."""
    async with rotator.store.view() as unit:
        cursors = {slug: await unit.log_cursor(cursor_name(slug)) for slug in slugs}
    return {slug: cursor.resume_at if cursor else None for slug, cursor in cursors.items()}
