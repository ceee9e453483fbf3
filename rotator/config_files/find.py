"""Which files are looked at: those that are named, and in folders those that Fly would read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rotator.domain.errors import InputError

MAX_DEPTH: Final = 16
"""Folders below the one that is named."""
MAX_ENTRIES: Final = 200_000
"""Names that are looked at in all folders together."""
MAX_FILES: Final = 2_000
"""Configuration files that are read at once."""

_CONFIG: Final = re.compile(
    r"(?:fly(?:[._-][\w.-]+)?|[\w-]+\.fly)\.(?:toml|json|ya?ml)", re.IGNORECASE
)
_EXACT: Final = frozenset({"fly.toml", "fly.json", "fly.yaml", "fly.yml"})
_CERTAIN: Final = "fly.toml"
"""The one name that nothing else has: fly.json and fly.yaml are of other programs too."""
_FORMS: Final = frozenset({".toml", ".json", ".yaml", ".yml"})
_SKIPPED: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "vendor", "deps", "_build",
        "target", "dist", ".terraform", ".tox", ".nox", "__pycache__", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", ".next", ".nuxt", ".cache",
        "site-packages", "bower_components", ".bundle",
    }
)  # fmt: skip
"""Folders of what others wrote or tools made."""


class Sort(StrEnum):
    """What a file is read as."""

    CONFIG = "config"
    DOCKERFILE = "dockerfile"


@dataclass(frozen=True)
class Found:
    """A file to read. `sure` is False where only its name, and no person, says that it is Fly's."""

    path: Path
    sort: Sort
    sure: bool


def find_files(paths: Sequence[Path]) -> tuple[Found, ...]:
    """The files of some paths, each once. Raises InputError for what can't be looked at."""
    found: dict[str, Found] = {}
    search = _Search()
    for path in paths:
        here = list(search.folder(path)) if path.is_dir() else [_named(path)]
        if not here:
            raise InputError(
                "there is no configuration of a Fly app in this folder",
                where=str(path),
                next_step="name a folder or file with fly.toml, fly.json or fly.yaml",
            )
        for each in here:
            found.setdefault(os.path.realpath(each.path), each)
        if len(found) > MAX_FILES:
            raise _too_many(path)
    return tuple(found.values())


def is_dockerfile(name: str) -> bool:
    """Whether a name is one of the usual ones."""
    lower = name.lower()
    return lower.startswith(("dockerfile", "containerfile")) or lower.endswith(".dockerfile")


def _named(path: Path) -> Found:
    if not os.path.lexists(path):
        raise InputError("there is no such file or folder", where=str(path))
    if path.suffix.lower() in _FORMS:
        return Found(path, Sort.CONFIG, sure=True)
    if is_dockerfile(path.name):
        return Found(path, Sort.DOCKERFILE, sure=True)
    raise InputError(
        "it is no configuration that rotator can read",
        where=str(path),
        next_step="name a folder, a .toml, .json, .yaml or .yml file, or a Dockerfile",
    )


def _too_many(path: Path) -> InputError:
    return InputError(
        f"the folder is too large (more than {MAX_ENTRIES} names or {MAX_FILES} configurations)",
        where=str(path),
        next_step="name the folders or files to look at",
    )


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether there is a file behind a name; a link that leads nowhere, or to itself, is none."""
    try:
        return entry.is_file()
    except OSError:
        return False


class _Search:
    """Walks folders. Folders behind symbolic links are left out, so that no loop can be walked."""

    def __init__(self) -> None:
        self._entries = 0

    def folder(self, path: Path, depth: int = 0) -> Iterator[Found]:
        """Every configuration in a folder and below, in the order of their names."""
        files, folders = self._listed(path)
        for name in files:
            yield Found(path / name, Sort.CONFIG, sure=name == _CERTAIN)
        for name in folders if depth < MAX_DEPTH else ():
            yield from self.folder(path / name, depth + 1)

    def _listed(self, path: Path) -> tuple[list[str], list[str]]:
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > MAX_ENTRIES:
                        raise _too_many(path)
                    if _CONFIG.fullmatch(entry.name) and _is_file(entry):
                        files.append(entry.name)
                    elif entry.name not in _SKIPPED and entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
        except OSError as error:
            raise InputError(
                f"the folder can't be read: {error.strerror}", where=str(path)
            ) from error
        return sorted(files, key=lambda name: (name not in _EXACT, name)), sorted(folders)
