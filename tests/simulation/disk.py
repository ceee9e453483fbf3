"""A target of the type `file` on a disk that the simulation holds in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import Drift, Unavailable
from rotator.domain.fields import Field, Params, text
from rotator.domain.ports import Evidence, Receipt, TargetState
from rotator.domain.secret import Secret
from rotator.targets.file import FileTarget


class Disk:
    """Files by path; `marks` change with every write."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self._numbers = count(1)

    def write(self, path: str, value: str) -> str:
        """Replace a file."""
        self.files[path] = value
        self.marks[path] = f"mark-{next(self._numbers)}"
        return self.marks[path]

    def remove(self, path: str) -> None:
        """Delete a file."""
        self.files.pop(path, None)
        self.marks.pop(path, None)


class DiskTarget:
    """What `rotator.targets.file` does, without a disk. `alive` stops the dead before an effect."""

    type = "file"
    fields: tuple[Field, ...] = FileTarget.fields

    def __init__(self, disk: Disk, effect: Callable[[str], str | None]) -> None:
        self._disk, self._effect = disk, effect

    def check(self, params: Params) -> str | None:
        return None

    def key(self, params: Params) -> str:
        return f"file:{text(params, 'path')}"

    def app(self, params: Params) -> str | None:
        return None

    def secret_name(self, params: Params) -> str | None:
        return None

    async def inspect(self, spec: TargetSpec) -> TargetState | None:
        mark = self._disk.marks.get(text(spec.params, "path"))
        return None if mark is None else TargetState(mark)

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        path = text(spec.params, "path")
        if self._effect(path) == "full":
            raise Unavailable(f"there is no space left for {path}")
        return Receipt(self._disk.write(path, value.reveal()))

    async def confirm(self, spec: TargetSpec, receipt: Receipt) -> Evidence:
        path = text(spec.params, "path")
        mark = self._disk.marks.get(path, "absent")
        if mark == receipt.marker:
            return Evidence(f"{path} is as it was written")
        raise Drift(f"somebody else changed {path}", next_step="find out who, then retry")

    async def remove(self, spec: TargetSpec) -> Receipt:
        path = text(spec.params, "path")
        self._effect(path)
        self._disk.remove(path)
        return Receipt("absent")

    def calls(self, spec: TargetSpec) -> Mapping[str, tuple[str, ...]]:
        return {}
