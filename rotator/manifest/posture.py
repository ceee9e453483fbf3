"""Read `[posture]`: the bounds that `rotator posture` holds what runs against."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path as FilePath
from typing import Final

from rotator.domain.posture.policy import OnLeaver, PosturePolicy, Scanner
from rotator.manifest.reader import Table

_SPANS: Final = (
    ("token_max_life", "365d"),
    ("token_max_age", "90d"),
    ("secret_max_age", "180d"),
    ("peer_max_age", "180d"),
    ("peer_unused", "30d"),
    ("image_max_age", "90d"),
    ("scan_max_age", "30d"),
    ("checkpoint_max_age", "1d"),
    ("clock_tolerance", "5s"),
)
_MOST_DAYS: Final = 365
_MOST_TOKENS: Final = 100
_REPORTS: Final = 'scan_reports = "reports/"'


def read_posture(table: Table, folder: FilePath) -> PosturePolicy:
    """What the table says over the defaults. A folder is relative to the manifest's."""
    plain = PosturePolicy()
    spans = {name: _span(table, name, example) for name, example in _SPANS}
    days = table.integer("certificate_days", "certificate_days = 14", low=1, high=_MOST_DAYS)
    tokens = table.integer(
        "deploy_tokens_an_app", "deploy_tokens_an_app = 1", low=0, high=_MOST_TOKENS
    )
    reports = table.text("scan_reports", _REPORTS)
    scanner = table.choice("scanner", Scanner, "none, trivy, grype", 'scanner = "trivy"')
    leaver = table.choice("on_leaver", OnLeaver, "tell, rotate", 'on_leaver = "rotate"')
    if reports == "":
        table.wrong("scan_reports", "is empty", _REPORTS)
    table.finish()
    return PosturePolicy(
        token_max_life=spans["token_max_life"] or plain.token_max_life,
        token_max_age=spans["token_max_age"] or plain.token_max_age,
        secret_max_age=spans["secret_max_age"] or plain.secret_max_age,
        peer_max_age=spans["peer_max_age"] or plain.peer_max_age,
        peer_unused=spans["peer_unused"] or plain.peer_unused,
        certificate_days=plain.certificate_days if days is None else days,
        deploy_tokens_an_app=plain.deploy_tokens_an_app if tokens is None else tokens,
        image_max_age=spans["image_max_age"] or plain.image_max_age,
        scan_reports=str(folder / reports) if reports else plain.scan_reports,
        scan_max_age=spans["scan_max_age"] or plain.scan_max_age,
        checkpoint_max_age=spans["checkpoint_max_age"] or plain.checkpoint_max_age,
        clock_tolerance=spans["clock_tolerance"] or plain.clock_tolerance,
        scanner=scanner or plain.scanner,
        on_leaver=leaver or plain.on_leaver,
    )


def _span(table: Table, name: str, example: str) -> timedelta | None:
    line = f'{name} = "{example}"'
    span = table.span(name, line)
    if span is not None and not span:
        table.wrong(name, "is no time at all", line)
    return span
