"""What a company has decided about its posture; `[posture]` of the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class OnLeaver(StrEnum):
    """What is done about tracked credentials that somebody made who has left."""

    TELL = "tell"
    ROTATE = "rotate"


class Scanner(StrEnum):
    """Which scanner of images rotator may run."""

    NONE = "none"
    TRIVY = "trivy"
    GRYPE = "grype"


@dataclass(frozen=True)
class PosturePolicy:
    """Bounds of the rules. Each default is what Fly's advice, or the field's habit, says."""

    token_max_life: timedelta = timedelta(days=365)
    token_max_age: timedelta = timedelta(days=90)
    secret_max_age: timedelta = timedelta(days=180)
    peer_max_age: timedelta = timedelta(days=180)
    peer_unused: timedelta = timedelta(days=30)
    certificate_days: int = 14
    deploy_tokens_an_app: int = 1
    image_max_age: timedelta = timedelta(days=90)
    scan_reports: str = ""
    """Where reports of images lie: a folder of SARIF, CycloneDX, Trivy or Grype JSON."""
    scanner: Scanner = Scanner.NONE
    """Run for images that no fresh report is there of, where it is installed."""
    scan_max_age: timedelta = timedelta(days=30)
    checkpoint_max_age: timedelta = timedelta(days=1)
    clock_tolerance: timedelta = timedelta(seconds=5)
    on_leaver: OnLeaver = OnLeaver.TELL
