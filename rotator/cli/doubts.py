"""Names in the manifest that have the right form and may still be none: regions, held against what
Fly lists. A hint, since a list is never complete for long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rotator.domain.credential import CredentialSpec
from rotator.domain.platform import Platform


def doubtful_regions(specs: Iterable[CredentialSpec], platform: Platform) -> Iterator[str]:
    """A sentence for each region that Fly does not list, or that does not fit, with where it is."""
    told: set[str] = set()
    for spec in specs:
        for field, code, gateway in _regions(spec):
            doubt = platform.doubt_region(code, gateway=gateway)
            if doubt is not None and doubt not in told:
                told.add(doubt)
                yield f"{field} of {spec.name}: {doubt}"


def _regions(spec: CredentialSpec) -> Iterator[tuple[str, str, bool]]:
    region = spec.params.get("region")
    if isinstance(region, str):
        yield "region", region, spec.kind == "wireguard-peer"
    for target in spec.targets:
        for code in target.rollout.first:
            yield "rollout.first", code, False
        for code in target.rollout.last:
            yield "rollout.last", code, False
