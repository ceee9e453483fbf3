"""Whoever looks at what runs, joined from the parts. Loaded when somebody looks: a rotation needs
none of it, and a command has to be quick."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from rotator.domain.credential import CredentialMode
from rotator.domain.posture.ports import Inspector
from rotator.engine.certificates.look import CertificateEyes
from rotator.engine.certificates.watch import CertificateWatch
from rotator.engine.posture.apps import AppsInspector
from rotator.engine.posture.certificates import CertificateInspector
from rotator.engine.posture.organization import OrganizationInspector
from rotator.engine.posture.rotator import RotatorInspector
from rotator.manifest import Manifest
from rotator.own_posture import OwnPosture
from rotator.scans.run import LocalScans
from rotator.settings import HandshakeScope

if TYPE_CHECKING:
    from rotator.wiring import Rotator


def inspectors(rotator: Rotator) -> Sequence[Inspector]:
    """The inspectors of the posture."""
    client = rotator.client

    def places() -> Sequence[str]:
        return [sink.name for sink in rotator.sinks()]

    return (
        OrganizationInspector(rotator.store, client.holdings, client.held_tokens),
        AppsInspector(rotator.parts, client.running, LocalScans()),
        CertificateInspector(certificate_eyes(rotator)),
        RotatorInspector(OwnPosture(rotator.settings, rotator.store, client, places)),
    )


def certificate_eyes(rotator: Rotator) -> CertificateEyes:
    """Who reads certificates, and shakes hands where the settings want it."""
    scope = rotator.settings.certificate_handshake
    reader = rotator.client.certificate_reading
    if scope is HandshakeScope.OFF:
        return CertificateEyes(reader)
    from rotator.fly.tls_probe import TlsHandshakes

    private_too = scope is HandshakeScope.ANY
    return CertificateEyes(reader, TlsHandshakes(rotator.parts.clock, private_too=private_too))


def certificate_watch(rotator: Rotator, manifest: Manifest) -> CertificateWatch:
    """The watch over certificates. Where all is only observed, Fly is asked for nothing."""
    observed = manifest.mode is CredentialMode.OBSERVE
    return CertificateWatch(
        rotator.parts,
        certificate_eyes(rotator),
        manifest.posture,
        recheck=rotator.settings.certificate_recheck and not observed,
        look_every=timedelta(seconds=rotator.settings.certificate_seconds),
    )
