"""What a person does where rotator's own API token is lost: one command."""

from __future__ import annotations

import os

import structlog

from rotator.cli.text import moment
from rotator.domain.errors import InputError, NeedsHuman, NotAllowed, RetryLater
from rotator.wiring import Rotator

_log = structlog.get_logger(__name__)


def new_token_command(organization: str) -> str:
    """Gives rotator a token again, on Fly or on this machine."""
    make = f"fly tokens create org --org {organization} --name rotator --expiry 720h"
    app = os.environ.get("FLY_APP_NAME")
    if app:
        return f'fly secrets set --app {app} FLY_API_TOKEN="$({make})"'
    return f'export FLY_API_TOKEN="$({make})"'


async def require_living_token(rotator: Rotator) -> None:
    """See that Fly accepts rotator's own token. Where Fly can't be asked now, work begins anyway.

    Raises:
        NeedsHuman: it was revoked or has expired, and there is no other; names the one command.
    """
    try:
        await rotator.client.tokens.current()
    except RetryLater as error:
        _log.warning("rotator's own API token was not tried yet", error=str(error))
    except NotAllowed as error:
        ends = rotator.client.authority.expires_at()
        now = rotator.parts.clock.now()
        why = f"it expired {moment(ends)}" if ends and ends <= now else "it was revoked"
        raise NeedsHuman(
            f"Fly does not accept rotator's API token: {why}",
            next_step=f"run `{new_token_command(await organization_of(rotator))}`",
            request_id=error.request_id,
        ) from None


async def organization_of(rotator: Rotator) -> str:
    """The organisation of the inventory or the manifest, for a command to be copied."""
    async with rotator.store.view() as unit:
        credentials = await unit.credentials()
    if credentials:
        return credentials[0].spec.organization
    try:
        return rotator.manifest().organization
    except InputError:
        return "ORGANISATION"
