"""Run the scanner that is installed, for images that no report is there of.

Its command is a list of arguments, no shell reads it; its environment is a short list of names, so
that no token and no key of rotator's is in it; its time and its output have an end. It reaches
private images by the credentials that `fly auth docker` has written for whoever runs rotator.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from rotator.domain.errors import InputError, Refused, Unavailable
from rotator.domain.posture.policy import Scanner
from rotator.domain.posture.scans import ReportFolder, ScanReport, ScanWish
from rotator.redaction import scrubbed
from rotator.scans.summary import MAX_BYTES, NotAReport, clean

SCAN_SECONDS: Final = 240
_TAIL_BYTES: Final = 4096
_END_SECONDS: Final = 5
"""After a kill: what it has printed last is taken off its pipes."""
_KEPT: Final = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "DOCKER_CONFIG",
    "TRIVY_CACHE_DIR",
    "GRYPE_DB_CACHE_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""All that a scanner hears of rotator's environment."""
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._:-]{0,127}(/[a-z0-9][a-z0-9._-]{0,127}){0,8}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def _trivy(image: str) -> Sequence[str]:
    return (
        "image",
        "--quiet",
        "--format",
        "json",
        "--scanners",
        "vuln",
        "--timeout",
        f"{SCAN_SECONDS}s",
        "--",
        image,
    )


def _grype(image: str) -> Sequence[str]:
    return ("--quiet", "--output", "json", "--", f"registry:{image}")


_ARGUMENTS: Final[Mapping[Scanner, Callable[[str], Sequence[str]]]] = {
    Scanner.TRIVY: _trivy,
    Scanner.GRYPE: _grype,
}


class LocalScans:
    """Implements `domain.posture.scans.Scans`."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._environment = {name: given[name] for name in _KEPT if name in given}

    async def read(self, path: str) -> ReportFolder:
        """The reports of a folder, or the one file. `InputError` if there is no such place."""
        # Late, like below: to load the models of four formats takes as long as a quick command.
        from rotator.scans.read import read_folder

        return await asyncio.to_thread(read_folder, path)

    def ready(self, scanner: Scanner) -> None:
        """Whether it can be run: `InputError` if it is not installed."""
        self._program(scanner)

    async def scan(self, scanner: Scanner, wish: ScanWish) -> ScanReport:
        """Run the scanner. `Unavailable` if it fails or takes too long, `Refused` of an image that
        can't be named, and what `ready` raises."""
        from rotator.scans.read import read_report

        program = self._program(scanner)
        if not (_IMAGE.fullmatch(wish.image) and _DIGEST.fullmatch(wish.digest)):
            raise Refused("the image has no name and digest that a scanner can be given")
        arguments = _ARGUMENTS[scanner](f"{wish.image}@{wish.digest}")
        code, output, told = await self._run([program, *arguments])
        if code != 0:
            raise Unavailable(f"{scanner} ended with exit code {code}: {told or 'it says nothing'}")
        try:
            report = await asyncio.to_thread(read_report, output)
        except NotAReport as error:
            raise Unavailable(f"what {scanner} has printed is no report: {error}") from None
        return replace(report, source=scanner.value, digests=report.digests | {wish.digest})

    def _program(self, scanner: Scanner) -> str:
        found = shutil.which(scanner, path=self._environment.get("PATH", os.defpath))
        if found is None:
            raise InputError(
                f"{scanner} is not installed here",
                where="[posture] scanner",
                next_step="install it, or have your pipeline write reports to scan_reports",
            )
        return found

    async def _run(self, command: Sequence[str]) -> tuple[int, bytes, str]:
        """Its exit code, what it has printed, and the last line that it has complained with."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        code: int | None = None
        try:
            async with asyncio.timeout(SCAN_SECONDS):
                async with asyncio.TaskGroup() as group:
                    printed = group.create_task(_all_of(process.stdout))
                    complained = group.create_task(_tail_of(process.stderr))
                code = await process.wait()
        except TimeoutError:
            raise Unavailable(f"it took longer than {SCAN_SECONDS} seconds") from None
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await _end(process, clean=code is not None)
        return code, printed.result(), complained.result()


async def _end(process: asyncio.subprocess.Process, *, clean: bool) -> None:
    """Close its pipes. Unless it has ended by itself, kill it first, with all that it started."""
    if not clean:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await process.communicate()


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while part := await stream.read(65_536):
        found += part
        if len(found) > MAX_BYTES:
            raise Unavailable(f"it prints more than {MAX_BYTES // 1024 // 1024} MiB")
    return bytes(found)


async def _tail_of(stream: asyncio.StreamReader) -> str:
    """The last line. All is read, or the scanner would wait for somebody who does."""
    found = b""
    while part := await stream.read(65_536):
        found = (found + part)[-_TAIL_BYTES:]
    lines = found.decode("utf-8", "replace").strip().splitlines()
    return clean(scrubbed(lines[-1])) if lines else ""
