"""The rules on certificates, held against what both APIs and handshakes tell."""

from __future__ import annotations

from datetime import datetime

from rotator.domain.errors import NotFound
from rotator.domain.posture.finding import Inspected, Missing, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.rules_certificates import findings
from rotator.engine.certificates.look import CertificateEyes


class CertificateInspector:
    """Implements `Inspector`."""

    topics = frozenset({Topic.CERTIFICATES})

    def __init__(self, eyes: CertificateEyes) -> None:
        self._eyes = eyes

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """See `Inspector`."""
        try:
            looked = await self._eyes.look(scope.organizations, scope.app)
        except NotFound as error:
            slug, app = scope.organizations[0], scope.app or ""
            return Inspected(missing=(Missing(Topic.CERTIFICATES, slug, app, str(error)),))
        return Inspected(
            tuple(
                finding
                for snapshot in looked.snapshots
                for finding in findings(snapshot, policy, now)
            ),
            tuple(
                Missing(Topic.CERTIFICATES, each.organization, each.app, each.why)
                for each in looked.unread
            ),
        )
