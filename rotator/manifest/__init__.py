"""rotator.toml: the declared inventory, read into domain types."""

from rotator.manifest.load import MANIFEST_BYTES, Manifest, load_manifest, parse_manifest
from rotator.manifest.problems import ManifestError, Problem
from rotator.manifest.sample import SAMPLE_MANIFEST

__all__ = [
    "MANIFEST_BYTES",
    "SAMPLE_MANIFEST",
    "Manifest",
    "ManifestError",
    "Problem",
    "load_manifest",
    "parse_manifest",
]
