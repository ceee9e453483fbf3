"""The one place that builds the parts from settings and joins them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.domain.errors import InputError
from rotator.domain.ports import Kind, Target
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.alerts.telling import Responder
from rotator.engine.audit.publish import Sink
from rotator.engine.audit.stream import EventSink
from rotator.engine.inventory import InventoryChange, apply_manifest
from rotator.engine.own_token import OwnToken
from rotator.engine.parts import Limits, Parts
from rotator.fly.api_token import ApiToken
from rotator.fly.client import FlyClient
from rotator.fly.needed import OWN
from rotator.kinds.registry import all_kinds
from rotator.manifest import Manifest, load_manifest, parse_target
from rotator.settings import Settings
from rotator.sinks import (
    EventFileSink,
    EventWebhookSink,
    FileSink,
    TargetSink,
    WebhookSink,
    secret_bytes,
)
from rotator.store.schema import require_current
from rotator.store.sealing import CheckpointSigner, KeyRing
from rotator.store.store import SqlStore
from rotator.system import SystemClock, SystemEntropy
from rotator.targets.registry import all_targets

if TYPE_CHECKING:
    from rotator.domain.posture.ports import Inspector
    from rotator.engine.certificates.look import CertificateEyes
    from rotator.engine.certificates.watch import CertificateWatch

ABSENT_TOKEN = Secret.of_public("absent")
"""Stands in where a command works without the API, such as `list`."""


@dataclass(frozen=True)
class Rotator:
    """Everything joined."""

    settings: Settings
    store: SqlStore
    client: FlyClient
    kinds: Mapping[str, Kind]
    targets: Mapping[str, Target]
    parts: Parts
    signer: CheckpointSigner | None
    own_token: OwnToken

    def sinks(self) -> Sequence[Sink]:
        """Where checkpoints are sent, beside the log.

        Raises:
            InputError: the target is none.
        """
        sinks: list[Sink] = []
        if self.settings.checkpoint_file is not None:
            sinks.append(FileSink(self.settings.checkpoint_file))
        if self.settings.checkpoint_webhook is not None:
            url = Secret(self.settings.checkpoint_webhook.get_secret_value())
            sinks.append(WebhookSink(url, self.parts.clock))
        if self.settings.checkpoint_target is not None:
            where = "ROTATOR_CHECKPOINT_TARGET"
            spec = parse_target(self.settings.checkpoint_target, where, self.targets)
            sinks.append(TargetSink(self.targets[spec.type], spec))
        return sinks

    def event_sinks(self) -> Sequence[EventSink]:
        """Where events are sent.

        Raises:
            InputError: the webhook has no secret to sign with, or one that is none.
        """
        settings = self.settings
        sinks: list[EventSink] = []
        if settings.events_file is not None:
            sinks.append(EventFileSink(settings.events_file))
        if settings.events_webhook is not None:
            keys = [Secret(key.get_secret_value()) for key in settings.events_webhook_secret]
            if not keys:
                raise InputError(
                    "events are posted signed, and no secret is set",
                    where="ROTATOR_EVENTS_WEBHOOK_SECRET",
                    next_step="make one: echo whsec_$(openssl rand -base64 32)",
                )
            for key in keys:
                secret_bytes(key)
            url = Secret(settings.events_webhook.get_secret_value())
            sinks.append(EventWebhookSink(url, keys, self.parts.clock))
        return sinks

    def responder(self) -> Responder:
        """Who acts on leaks that hooks are told of."""
        given = self.settings.github_token
        values = None
        if given is not None:
            from rotator.github import GithubAlerts

            token = Secret(given.get_secret_value())
            values = GithubAlerts(self.settings.github_api_url, token, self.parts.clock)
        return Responder(self.parts, self.client.leaked, values)

    def inspectors(self) -> Sequence[Inspector]:
        """Whoever looks at what runs, for the posture."""
        from rotator.looking import inspectors

        return inspectors(self)

    def certificate_eyes(self) -> CertificateEyes:
        """Who reads certificates, and shakes hands where the settings want it."""
        from rotator.looking import certificate_eyes

        return certificate_eyes(self)

    def certificate_watch(self, manifest: Manifest) -> CertificateWatch:
        """The watch over certificates. Where all is only observed, Fly is asked for nothing."""
        from rotator.looking import certificate_watch

        return certificate_watch(self, manifest)

    def manifest(self) -> Manifest:
        """The manifest, read afresh."""
        return load_manifest(
            self.settings.manifest, self.kinds, self.targets, self.parts.clock.now()
        )

    async def take_up_own_token(self) -> bool:
        """Go on with rotator's own token as the inventory has it by now. Tells of a change."""
        best = await self.own_token.best()
        if best is None or best.reveal() == self.client.token.value.reveal():
            return False
        self.client.token.value = best
        return True

    async def sync(self) -> InventoryChange:
        """Bring the inventory in line with the manifest."""
        manifest = self.manifest()
        change = await apply_manifest(self.parts, manifest.specs, source=manifest.path)
        self.own_token.forget()
        return change


def limits_of(settings: Settings) -> Limits:
    """The engine's bounds as the settings want them."""
    return Limits(
        claim_ttl=timedelta(seconds=settings.claim_seconds),
        lock_ttl=timedelta(seconds=settings.claim_seconds),
        list_lag=timedelta(seconds=settings.list_lag_seconds),
        catch_up_gap=timedelta(seconds=settings.catch_up_seconds),
        lease_ttl_seconds=settings.lease_seconds,
        concurrency=settings.concurrency,
    )


def key_ring(settings: Settings, entropy: SystemEntropy) -> KeyRing | None:
    """The key ring, or None where no key is set."""
    keys = settings.key_secrets()
    return KeyRing(keys, entropy.token_bytes) if keys else None


@asynccontextmanager
async def open_rotator(
    settings: Settings, *, actor: Actor, worker_id: str, online: bool = True
) -> AsyncIterator[Rotator]:
    """Build everything, check schema and keys, and close it all in the end.

    With `online` a token and keys are required; without, only what the database tells is at hand.

    Raises:
        InputError: something is missing or wrong in the settings or the database's schema.
    """
    clock, entropy = SystemClock(), SystemEntropy()
    token = ApiToken(settings.given_token() or ABSENT_TOKEN)
    ring = key_ring(settings, entropy)
    if online and ring is None:
        raise InputError(
            "no key-encryption key is set",
            where="ROTATOR_KEYS",
            next_step="`rotator init` writes one to .env",
        )
    await require_current(settings.database_url)
    async with AsyncExitStack() as stack:
        store = SqlStore(settings.database_url, ring, clock)
        stack.push_async_callback(store.aclose)
        own = OwnToken(store, OWN, settings.given_token())
        if ring is not None and online:
            await store.verify_keys()
            token.value = await own.best() or settings.require_token()
            token.successor = own.after
        client = FlyClient(
            settings.machines_api_url,
            settings.graphql_api_url,
            token,
            clock,
            entropy,
            narrow_calls=settings.narrow_calls,
        )
        stack.push_async_callback(client.aclose)
        kinds, targets = all_kinds(client, clock), all_targets(client)
        parts = Parts(
            store=store,
            kinds=kinds,
            targets=targets,
            fleet=client.fleet,
            releases=client.releases,
            prober=client.prober,
            authority=client.authority,
            calls=client.calls,
            clock=clock,
            entropy=entropy,
            worker_id=worker_id,
            actor=actor,
            limits=limits_of(settings),
            witness=client.witness,
        )
        signer = CheckpointSigner(ring) if ring is not None else None
        yield Rotator(settings, store, client, kinds, targets, parts, signer, own)
