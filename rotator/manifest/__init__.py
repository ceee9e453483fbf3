"""rotator.toml: the declared inventory, read into domain types."""

from rotator.manifest.load import (
    MANIFEST_BYTES,
    Manifest,
    load_manifest,
    parse_manifest,
    parse_target,
)
from rotator.manifest.problems import ManifestError, Problem
from rotator.manifest.sample import sample_manifest, simulated_manifest

__all__ = [
    "MANIFEST_BYTES",
    "Manifest",
    "ManifestError",
    "Problem",
    "load_manifest",
    "parse_manifest",
    "parse_target",
    "sample_manifest",
    "simulated_manifest",
]
