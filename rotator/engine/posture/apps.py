"""Look at what apps run with: services, secrets, machines, images. One reading serves all rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Final

from rotator.domain.errors import InputError, NotFound, RotatorError, TokenRefused
from rotator.domain.posture.finding import Finding, Inspected, Missing, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.rules_environment import check_environment
from rotator.domain.posture.rules_images import check_images, no_scans, unreadable
from rotator.domain.posture.rules_machines import check_machines
from rotator.domain.posture.rules_network import check_network
from rotator.domain.posture.rules_secrets import Digests, check_secrets
from rotator.domain.posture.running import (
    ListedApp,
    OwnRecord,
    RunningApp,
    RunningApps,
    named,
)
from rotator.domain.posture.scans import Scans
from rotator.engine.concurrency import together
from rotator.engine.parts import Parts
from rotator.engine.posture.image_scans import ImageScans
from rotator.engine.posture.own_record import OwnBook, open_book, own_record

APPS_AT_ONCE: Final = 8
"""So many apps are held in memory, whole, at one time."""
APP_SECONDS: Final = 120
"""No app takes longer to be read."""


class AppsInspector:
    """Implements `domain.posture.ports.Inspector`.

    What equal values are held by several apps is told only where all apps are looked at.
    """

    topics = frozenset({Topic.CONFIG, Topic.SECRETS, Topic.NETWORK, Topic.IMAGES, Topic.MACHINES})

    def __init__(self, parts: Parts, apps: RunningApps, scans: Scans) -> None:
        self._parts, self._apps, self._scans = parts, apps, scans

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """Look once.

        Raises:
            TokenRefused: the API token is not accepted for anything.
        """
        scans = ImageScans(self._scans, policy, self._parts.clock)
        look = _Look(self, scans, await open_book(self._parts.store), policy, now)
        try:
            await scans.open()
        except InputError as error:
            look.unscannable(scope, str(error))
        for organization in scope.organizations:
            try:
                async for page in self._pages(organization, scope.app):
                    await together([look.at(app) for app in page])
            except TokenRefused:
                raise
            except RotatorError as error:
                look.miss(organization, scope.app or "", self.topics, str(error))
        if scope.app is None:
            look.whole(scope.organizations)
        return look.result()

    async def _pages(
        self, organization: str, app: str | None
    ) -> AsyncIterator[Sequence[ListedApp]]:
        if app is not None:
            yield [await self._apps.one(organization, app)]
            return
        async for page in self._apps.listed(organization):
            yield page

    async def read(self, app: ListedApp) -> RunningApp:
        """One app, within its time."""
        async with asyncio.timeout(APP_SECONDS):
            return await self._apps.read(app)

    async def own(self, book: OwnBook, app: str) -> OwnRecord:
        """What rotator knows of it."""
        return await own_record(self._parts.store, book, app)

    def check(
        self,
        app: RunningApp,
        own: OwnRecord,
        scans: ImageScans,
        policy: PosturePolicy,
        now: datetime,
    ) -> Iterable[Finding]:
        """Hold an app against all rules."""
        record = scans.record()
        yield from check_environment(app, now)
        yield from check_secrets(app, own, policy, now)
        yield from check_network(app)
        yield from check_machines(app, own, record.by_digest, now)
        yield from check_images(app, record, policy, now)


class _Look:
    """One look: what was found, and what could not be read."""

    def __init__(
        self,
        inspector: AppsInspector,
        scans: ImageScans,
        book: OwnBook,
        policy: PosturePolicy,
        now: datetime,
    ) -> None:
        self._inspector, self._scans, self._book = inspector, scans, book
        self._policy, self._now = policy, now
        self._digests = Digests()
        self._findings: list[Finding] = []
        self._missing: list[Missing] = []
        self._turn = asyncio.Semaphore(APPS_AT_ONCE)

    async def at(self, listed: ListedApp) -> None:
        """Read one app and hold it against the rules; then forget it."""
        async with self._turn:
            try:
                app = await self._inspector.read(listed)
            except NotFound:
                return  # destroyed since it was listed
            except TokenRefused:
                raise
            except (RotatorError, TimeoutError) as error:
                why = str(error) or f"it was not read within {APP_SECONDS} seconds"
                self._unread(listed, why)
                return
            await self._hold(app)

    async def _hold(self, app: RunningApp) -> None:
        own = await self._inspector.own(self._book, app.name)
        why = await self._scans.scan(app, self._now)
        if why:
            self.miss(app.organization, app.name, {Topic.IMAGES}, why)
        if app.unread:
            machines = named([each.machine.id for each in app.unread])
            why = f"the host of {machines} does not answer, so that its config can't be read"
            self.miss(app.organization, app.name, self._inspector.topics, why)
        self._digests.add(app)
        self._findings += self._inspector.check(app, own, self._scans, self._policy, self._now)

    def _unread(self, app: ListedApp, why: str) -> None:
        self.miss(app.organization, app.name, self._inspector.topics, why)
        # What others share with it can't be told either.
        shared = f"{app.name} could not be read, so that nobody can tell what it shares with others"
        self.miss(app.organization, "", {Topic.SECRETS}, shared)

    def miss(self, organization: str, app: str, topics: Iterable[Topic], why: str) -> None:
        """What could not be read: its findings are unknown."""
        self._missing += [Missing(topic, organization, app, why) for topic in sorted(topics)]

    def unscannable(self, scope: InspectionScope, why: str) -> None:
        """The reports of images can't be read at all."""
        for organization in scope.organizations:
            self.miss(organization, scope.app or "", {Topic.IMAGES}, why)

    def whole(self, organizations: Sequence[str]) -> None:
        """What can be told only of all apps together."""
        self._findings += self._digests.findings(self._book.credentials())
        self._findings += [
            unreadable(organization, file)
            for organization in organizations
            for file in self._scans.unreadable
        ]
        if not self._scans.wanted:
            self._findings += [no_scans(organization) for organization in organizations]

    def result(self) -> Inspected:
        """All of it."""
        return Inspected(tuple(self._findings), tuple(dict.fromkeys(self._missing)))
