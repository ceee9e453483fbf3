"""The offline half of the posture: what files say, held against the rules on files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rotator.config_files.find import Found, Sort, find_files
from rotator.config_files.read import load_config, load_dockerfile, load_scripts, shown
from rotator.domain.errors import InputError
from rotator.domain.posture.config_checks import check_files
from rotator.domain.posture.config_checks_dockerfile import Build
from rotator.domain.posture.config_file import ConfigFile
from rotator.domain.posture.finding import Inspected, Missing, Topic

_FLY_KEYS: Final = frozenset(
    {
        "app", "primary_region", "kill_signal", "kill_timeout", "swap_size_mb", "console_command",
        "experimental", "build", "deploy", "env", "processes", "mounts", "mount", "http_service",
        "services", "checks", "files", "host_dedication_id", "machine_checks", "restart", "vm",
        "statics", "metrics",
    }
)  # fmt: skip
"""The keys that Fly knows at the top of a configuration."""
_ADDRESS: Final = re.compile(r"https?://", re.IGNORECASE)
_DEFAULT_DOCKERFILES: Final = ("Dockerfile", "dockerfile")
"""What flyctl looks for beside a configuration that says nothing of its build."""


def inspect_paths(paths: Sequence[Path], now: datetime) -> Inspected:
    """Hold the configurations in some files and folders against the rules on files.

    `now` is for tokens that have run out. Raises InputError for a path that is not there, and for a
    file that can't be read or is not of its form, with line and column. A Dockerfile that a
    configuration names and that is not there is told as missing.
    """
    gathered = _Gathered()
    for found in find_files(paths):
        if found.sort is Sort.DOCKERFILE:
            gathered.add_build(found.path, "", "")
        else:
            gathered.read_config(found)
    if not gathered.configs and not gathered.builds:
        raise InputError(
            "none of the files is the configuration of a Fly app",
            where=", ".join(str(path) for path in paths[:3]),
        )
    for path, config in gathered.configs:
        gathered.add_build_of(path, config)
    files = [config for _, config in gathered.configs]
    found_all = check_files(files, tuple(gathered.builds.values()), now)
    return Inspected(found_all, tuple(gathered.missing))


class _Gathered:
    """What was read. A Dockerfile counts once, for the first app that is built from it."""

    def __init__(self) -> None:
        self.configs: list[tuple[Path, ConfigFile]] = []
        self.builds: dict[str, Build] = {}
        self.missing: list[Missing] = []

    def read_config(self, found: Found) -> None:
        """Read a configuration. One that nobody named and that can't be read is told as missing."""
        try:
            config = load_config(found.path)
        except InputError as error:
            if found.sure:
                raise
            self.missing.append(Missing(Topic.CONFIG, "", "", str(error)))
        else:
            self._add_config(found.path, config, sure=found.sure)

    def _add_config(self, path: Path, config: ConfigFile, *, sure: bool) -> None:
        """Take a file, unless it only has a name like one of Fly's."""
        keys = {entry.key for entry in config.root.entries}
        if sure and (keys & _FLY_KEYS or not keys):
            self.configs.append((path, config))
        elif sure:
            raise InputError(
                "no setting in it is one of a Fly app",
                where=config.path,
                next_step="name a fly.toml, fly.json or fly.yaml",
            )
        elif len(keys & _FLY_KEYS) >= 2 or "app" in keys:
            self.configs.append((path, config))

    def add_build(self, path: Path, app: str, target: str) -> None:
        """Read a Dockerfile that has not been read yet."""
        key = os.path.realpath(path)
        known = self.builds.get(key)
        if known is None:
            file = load_dockerfile(path)
            self.builds[key] = Build(file, app, (target,), load_scripts(file, path.parent))
        else:
            before = known.targets if known.app else ()
            targets = tuple(dict.fromkeys((*before, target)))
            self.builds[key] = replace(known, app=known.app or app, targets=targets)

    def add_build_of(self, path: Path, config: ConfigFile) -> None:
        """The Dockerfile that an app's image is built from, where one is."""
        build = config.root.table("build")
        named = "" if build is None else build.string("dockerfile")
        target = ""
        if build is not None:
            target = build.string("build-target") or build.string("build_target")
            if not named and any(build.get(key) for key in ("image", "builder", "builtin")):
                return
        if _ADDRESS.match(named):
            # Only the host is told: an address can hold a token.
            host = urlsplit(named).hostname or "another host"
            self._miss(config, f"its Dockerfile is not here but at {host}")
            return
        for name in (named,) if named else _DEFAULT_DOCKERFILES:
            beside = path.parent / name
            if beside.is_file():
                self.add_build(beside, config.app, target)
                return
        if named:
            self._miss(config, f"{shown(path.parent / named)} is not there")

    def _miss(self, config: ConfigFile, why: str) -> None:
        self.missing.append(Missing(Topic.CONFIG, "", config.app, f"{config.path}: {why}"))
