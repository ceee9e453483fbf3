"""What the kinds of tokens need of Fly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rotator.domain.secret import Secret
from rotator.fly.organizations import AppIdentity, Organization
from rotator.fly.tokens import CreatedToken, ListedToken, TokenHolder


class IdentityClient(Protocol):
    """What these kinds need to know of apps and organisations."""

    async def app(self, name: str) -> AppIdentity:
        """One app by name."""
        ...

    async def organization(self, slug: str) -> Organization:
        """One organisation by slug."""
        ...


class TokenClient(Protocol):
    """What these kinds need of limited access tokens."""

    async def create(
        self,
        *,
        name: str,
        organization_id: str,
        profile: str,
        profile_params: Mapping[str, object],
        expiry: str,
    ) -> CreatedToken:
        """Make a token."""
        ...

    async def delete(self, token_id: str) -> None:
        """Revoke a token. `NotFound` for an unknown id."""
        ...

    async def of_app(self, app: str) -> Sequence[ListedToken]:
        """All tokens of an app."""
        ...

    async def of_organization(self, slug: str) -> Sequence[ListedToken]:
        """All tokens of an organisation."""
        ...

    async def current(self, token: Secret | None = None) -> Sequence[TokenHolder]:
        """Use a token once. `Refused` when Fly does not take it."""
        ...

    async def read_app(self, app: str, token: Secret) -> None:
        """Read an app with a token. `Refused` when Fly does not let it."""
        ...

    async def read_organization(self, slug: str, token: Secret) -> None:
        """List an organisation's apps with a token. `Refused` when Fly does not let it."""
        ...
