"""The hooks of a daemon: listening, following the manifest, and ending with the daemon."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import structlog

from rotator.domain.errors import InputError, RotatorError
from rotator.domain.hook import Hook, HookFormat, HookSpec
from rotator.engine.alerts.telling import Responder
from rotator.settings import Settings, hook_secrets
from rotator.web.hooks import Count, HookHandler
from rotator.web.http import Receiver
from rotator.web.signatures import hook_of

log = structlog.get_logger(__name__)


class HookService:
    """One listening receiver."""

    def __init__(self, settings: Settings, responder: Responder, count: Count) -> None:
        self._settings, self._responder = settings, responder
        trusts = settings.hooks_trust_fly_client_ip
        self._handler = HookHandler(responder, count, trust_fly_client_ip=trusts)
        self._receiver = Receiver(self._handler)
        self._receiver.share_peer = trusts

    async def listen(self) -> None:
        """Answer on the port of the settings.

        Raises:
            InputError: the port can't be had.
        """
        address, port = self._settings.hooks_address, self._settings.hooks_port
        assert port is not None
        try:
            await self._receiver.listen(address, port)
        except OSError as error:
            raise InputError(
                f"port {port} can't be used: {(error.strerror or 'no reason').lower()}",
                where="ROTATOR_HOOKS_PORT",
                next_step="choose another one, or set ROTATOR_HOOKS_ADDRESS",
            ) from None
        log.info("hooks are answered", address=address or "all", port=port)

    def configure(self, specs: Sequence[HookSpec]) -> None:
        """Serve these hooks from now on; on an error those so far are left.

        Raises:
            InputError: a hook's secrets are missing or wrong.
        """
        self._handler.configure(served(specs))
        if not specs:
            log.warning("ROTATOR_HOOKS_PORT is set, but the manifest has no [[hooks]]")
        if self._responder.values is None and any(s.format is HookFormat.GITHUB for s in specs):
            log.warning(
                "GitHub's alerts don't hold the value: without ROTATOR_GITHUB_TOKEN they are "
                "told, and nothing can be rotated for them"
            )

    async def flush(self) -> None:
        """Tell of the refused requests that have gathered."""
        await self._handler.rejections.flush()

    async def stop(self) -> None:
        """Take no more requests, and end those under way."""
        await self._receiver.close()
        with contextlib.suppress(RotatorError):
            await self._handler.rejections.flush(ending=True)


def served(specs: Sequence[HookSpec]) -> Sequence[Hook]:
    """Hooks with their secrets from the environment.

    Raises:
        InputError: secrets are missing or wrong.
    """
    return [hook_of(spec, hook_secrets(spec.secrets_env)) for spec in specs]
