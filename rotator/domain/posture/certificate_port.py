"""What watching certificates needs of Fly and of the network, each a Protocol with its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rotator.domain.posture.certificate import ApiView, CertificateSnapshot
from rotator.domain.posture.handshake import Handshake


@dataclass(frozen=True)
class ReadCertificates:
    """The hostnames that were found. `missing` are pairs of an app, "" for all, and the reason
    why its certificates could not be read from any API."""

    snapshots: tuple[CertificateSnapshot, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CheckAnswer:
    """What Fly answered to a re-check; `request_id` is its id of the call."""

    view: ApiView
    request_id: str | None = None


class Certificates(Protocol):
    """Reads what both APIs say, a few apps at a time, and asks for a re-check."""

    async def of_organization(self, slug: str) -> ReadCertificates:
        """Every hostname of every app. What can't be read is told, and the rest is given."""
        ...

    async def of_app(self, app: str, organization: str) -> ReadCertificates:
        """Every hostname of one app, of this organisation unless Fly says otherwise.

        Raises:
            NotFound: there is no such app, or the token may not see it.
        """
        ...

    async def again(self, snapshot: CertificateSnapshot) -> CertificateSnapshot:
        """One hostname, read once more by the Machines API."""
        ...

    async def check(self, app: str, hostname: str) -> CheckAnswer:
        """Ask Fly to validate a hostname anew, which lets a renewal that is stuck go on.

        Made once: an answer that is lost is not asked for again.

        Raises:
            OutcomeUnknown: it may have been asked.
        """
        ...


class TlsProber(Protocol):
    """Shakes hands as a browser would, to read the certificate that is served.

    Speaks to public addresses only, unless it was made otherwise; sends no request, follows
    nothing. Never raises for what the other side does: all of it is a `Handshake`.
    """

    async def shake(self, hostname: str) -> Handshake:
        """One hostname, within a bound of time."""
        ...
