"""Images as the Machines API shows them: where a reference leads to."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

from rotator.simulator.model import Json, Machine

_DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")
_TAG: Final = re.compile(r":([\w][\w.-]{0,127})$")
_HUB: Final = "registry-1.docker.io"


def image_ref(machine: Machine) -> Json:
    """The `image_ref` of a machine. `image_digest` is set where its tag has moved since."""
    found = _parts(str(machine.config.get("image", "")))
    labels: Json = dict(machine.app.image_labels)
    ref: Json = {**found, "digest": machine.image_digest or found["digest"]}
    return {**ref, "labels": labels} if labels else ref


@lru_cache(maxsize=128)
def _parts(image: str) -> dict[str, str]:
    digest = "sha256:" + hashlib.sha256(image.encode()).hexdigest()
    path, tag = image, ""
    if pinned := _DIGEST.search(path):
        path, digest = path[: pinned.start()], pinned[1]
    if tagged := _TAG.search(path):
        path, tag = path[: tagged.start()], tagged[1]
    registry, _, repository = path.partition("/")
    if not repository or not ("." in registry or ":" in registry):
        registry, repository = _HUB, path if repository else f"library/{path}"
    return {"registry": registry, "repository": repository, "tag": tag, "digest": digest}
