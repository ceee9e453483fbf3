"""What both of Fly's APIs say of certificates, joined: implements `Certificates` of
`domain.posture.certificate_port`.

GraphQL tells of a whole organisation in a few pages; the Machines API needs a list for each app
and one call for each hostname, and tells more. Apps are read a few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rotator.domain.errors import NotFound, RotatorError
from rotator.domain.posture.certificate import Api, ApiView, CertificateSnapshot
from rotator.domain.posture.certificate_port import CheckAnswer, ReadCertificates
from rotator.fly.certificate_lists import AppCertificates, CertificateLists
from rotator.fly.certificates import CertificatesApi

APPS_AT_ONCE: Final = 8
MOST_DETAILS: Final = 2000
"""Hostnames of one look that are read one by one; of more than that only lists tell."""


class FlyCertificates:
    """Reads both, and asks for re-checks."""

    def __init__(self, machines: CertificatesApi, lists: CertificateLists) -> None:
        self._machines, self._lists = machines, lists

    async def of_organization(self, slug: str) -> ReadCertificates:
        """See `Certificates`."""
        try:
            apps = await self._lists.of_organization(slug)
        except RotatorError as error:
            return ReadCertificates(missing=(("", str(error)),))
        return await self._joined(apps)

    async def of_app(self, app: str, organization: str) -> ReadCertificates:
        """See `Certificates`. Where GraphQL does not answer, the Machines API has to do."""
        try:
            return await self._joined([await self._lists.of_app(app)])
        except NotFound:
            raise
        except RotatorError:
            return await self._machines_only(app, organization)

    async def _machines_only(self, app: str, organization: str) -> ReadCertificates:
        try:
            listed = await self._machines.certificates(app)
        except RotatorError as error:
            return ReadCertificates(missing=((app, str(error)),))
        found = []
        for each in listed[:MOST_DETAILS]:
            view = await self._detail(app, each.hostname)
            view = view and replace(view, created_at=each.created_at)
            unread = {Api.GRAPHQL} if view is not None else {Api.GRAPHQL, Api.MACHINES}
            found.append(
                CertificateSnapshot(organization, app, each.hostname, view, None, frozenset(unread))
            )
        return ReadCertificates(tuple(found))

    async def again(self, snapshot: CertificateSnapshot) -> CertificateSnapshot:
        """See `Certificates`."""
        view = await self._machines.certificate(snapshot.app, snapshot.hostname)
        return replace(snapshot, machines=_complete(view, snapshot.graphql))

    async def check(self, app: str, hostname: str) -> CheckAnswer:
        """See `Certificates`."""
        return await self._machines.check(app, hostname)

    async def _joined(self, apps: Sequence[AppCertificates]) -> ReadCertificates:
        gate, left = asyncio.Semaphore(APPS_AT_ONCE), [MOST_DETAILS]
        read: list[list[CertificateSnapshot]] = [[] for _ in apps]

        async def one(place: int, app: AppCertificates) -> None:
            async with gate:
                read[place] = await self._of(app, left)

        async with asyncio.TaskGroup() as group:
            for place, app in enumerate(apps):
                group.create_task(one(place, app))
        return ReadCertificates(tuple(each for found in read for each in found))

    async def _of(self, app: AppCertificates, left: list[int]) -> list[CertificateSnapshot]:
        """One app. `left` counts down the hostnames that may be read one by one."""
        try:
            created = {each.hostname: each for each in await self._machines.certificates(app.app)}
        except RotatorError:
            return [_only_graphql(app, name, view) for name, view in app.views.items()]
        found = []
        for name in dict.fromkeys((*app.views, *created)):
            graphql = app.views.get(name)
            if name not in created:
                found.append(CertificateSnapshot(app.organization, app.app, name, None, graphql))
                continue
            left[0] -= 1
            view = await self._detail(app.app, name) if left[0] >= 0 else None
            if view is None and graphql is not None:
                found.append(_only_graphql(app, name, graphql))
                continue
            unread = frozenset() if view is not None else frozenset({Api.MACHINES})
            view = view and replace(view, created_at=created[name].created_at)
            found.append(
                CertificateSnapshot(
                    app.organization,
                    app.app,
                    name,
                    view and _complete(view, graphql),
                    graphql,
                    unread,
                )
            )
        return found

    async def _detail(self, app: str, hostname: str) -> ApiView | None:
        try:
            return await self._machines.certificate(app, hostname)
        except RotatorError:
            return None


def _complete(view: ApiView, graphql: ApiView | None) -> ApiView:
    """With the facts of the hostname itself that only GraphQL tells."""
    if graphql is None:
        return view
    return replace(view, apex=graphql.apex, created_at=view.created_at or graphql.created_at)


def _only_graphql(app: AppCertificates, name: str, view: ApiView) -> CertificateSnapshot:
    return CertificateSnapshot(
        app.organization, app.app, name, None, view, frozenset({Api.MACHINES})
    )
