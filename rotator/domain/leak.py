"""What is done about a value that somebody has found where it should not be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from rotator.domain.credential import CredentialStatus, Version, VersionState
from rotator.domain.lineage import Trace
from rotator.domain.rotation import ACTIVE, Rotation, RotationState
from rotator.domain.secret import Secret


class Course(StrEnum):
    """How a leaked version of a tracked credential is dealt with."""

    ROTATE = "rotate"
    HASTEN = "hasten"
    TURN_BACK = "turn-back"
    REVOKE = "revoke"
    GONE = "gone"


COURSES: Final[Mapping[Course, str]] = {
    Course.ROTATE: "it is replaced now, and revoked first where somebody can revoke it",
    Course.HASTEN: "it has a successor already, so its overlap ends now",
    Course.TURN_BACK: "the rotation that brings it is turned back, and it is revoked now",
    Course.REVOKE: "it is revoked now, beside whatever else is under way",
    Course.GONE: "it is revoked already",
}


def course(version: Version, status: CredentialStatus, newest: Rotation | None) -> Course:
    """What to do about a leaked version; `newest` is the credential's newest rotation."""
    match version.state:
        case VersionState.REVOKED | VersionState.DISCARDED:
            return Course.GONE
        case VersionState.RETIRING:
            return Course.HASTEN
        case VersionState.PENDING:
            return Course.TURN_BACK
        case VersionState.CURRENT:
            blocked = newest is not None and (
                newest.state in ACTIVE or newest.state is RotationState.PARKED
            )
            unmanaged = status is not CredentialStatus.MANAGED
            return Course.REVOKE if blocked or unmanaged else Course.ROTATE


@dataclass(frozen=True)
class Found:
    """A token that an issuer's list holds, whoever made it."""

    ref: str
    name: str
    profile: str
    made_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


class FoundTokens(Protocol):
    """What can be learned and done at Fly with nothing but a token's text."""

    def traces(self, value: Secret) -> Sequence[Trace]:
        """What its permission tokens show; nothing where it holds none that can be read. Pure."""
        ...

    def is_token(self, value: Secret) -> bool:
        """Whether it has a form that only Fly's tokens have, so that it may be shown to Fly: what
        leaked may be anybody's. Pure."""
        ...

    def is_own(self, value: Secret) -> bool:
        """Whether it is the token that rotator itself works with. Makes no call."""
        ...

    async def accepted(self, value: Secret) -> Sequence[str] | None:
        """The slugs of the organisations for which Fly still accepts it; None where it does not.
        Uses it once, harmlessly."""
        ...

    async def listed(self, value: Secret, organizations: Sequence[str]) -> Sequence[Found]:
        """The entries of these organisations' lists that the text may be, best known by the times
        that the issuer wrote into it. More than one where they can't be told apart."""
        ...

    async def revoke(self, value: Secret, found: Found | None) -> str:
        """Make Fly refuse it, by its entry, its text, or by letting it give itself up. Tells how.

        `Refused` where none of these goes.
        """
        ...
