"""`rotator check`: what is configured, what is missing, how to mend it, and whether it works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rotator.cli.doubts import doubtful_regions
from rotator.cli.failures import FAILED
from rotator.cli.mending import new_token_command, organization_of
from rotator.cli.places import places_of
from rotator.cli.session import daemon_is_running
from rotator.cli.text import from_now, print_json, say, show
from rotator.domain.errors import InputError, RotatorError, TokenRefused
from rotator.domain.hook import HookFormat
from rotator.domain.posture.catalogue import RULES
from rotator.fly.auth import check_token
from rotator.logs import configure_logs
from rotator.manifest import Manifest
from rotator.manifest.suppressions import SUPPRESSIONS_FILE, load_suppressions
from rotator.settings import Settings, load_settings
from rotator.store.schema import require_current
from rotator.store.store import database_url, shown
from rotator.system import SystemClock, user_actor, worker_name
from rotator.wiring import Rotator, open_rotator

if TYPE_CHECKING:
    from rich.table import Table


class Verdict(StrEnum):
    """How one thing stands."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the check; `mend` is what to do."""

    what: str
    verdict: Verdict
    told: str
    mend: str = ""


async def check_everything(*, as_json: bool) -> int:
    """Look at everything, also after something was found wrong."""
    settings = load_settings()
    configure_logs(settings.log_format, "error")
    findings = [finding async for finding in _findings(settings)]
    bad = [f for f in findings if f.verdict in (Verdict.MISSING, Verdict.WRONG)]
    if as_json:
        print_json({"ok": not bad, "findings": findings})
    else:
        show(_table(findings))
        say(f"{len(bad)} to mend" if bad else "all is well")
    return FAILED if bad else 0


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    for finding in _configured(settings):
        yield finding
    for finding in _suppressions(settings):
        yield finding
    schema = await _schema(settings)
    yield schema
    if schema.verdict is not Verdict.OK or any(
        f.verdict is not Verdict.OK for f in _configured(settings)
    ):
        yield Finding("the rest", Verdict.NOTE, "not looked at before the above is mended")
        return
    try:
        async with open_rotator(
            settings, actor=user_actor(), worker_id=f"check-{worker_name()}"
        ) as rotator:
            async for finding in _working(rotator):
                yield finding
    except RotatorError as error:
        yield _wrong("opening", error)


def _configured(settings: Settings) -> list[Finding]:
    found = [
        Finding("APIs", Verdict.OK, f"{settings.machines_api_url} and {settings.graphql_api_url}"),
        Finding("logs", Verdict.OK, f"{settings.log_format.value}, {settings.log_level} and above"),
        Finding("concurrency", Verdict.OK, f"{settings.concurrency} at once"),
    ]
    try:
        check_token(settings.require_token())
        found.append(Finding("API token", Verdict.OK, "set (not shown)"))
    except InputError as error:
        missing = not settings.fly_api_token or not settings.fly_api_token.get_secret_value()
        found.append(
            Finding(
                "API token",
                Verdict.MISSING if missing else Verdict.WRONG,
                error.message,
                error.next_step or "",
            )
        )
    keys = len(settings.key_secrets())
    found.append(
        Finding("keys", Verdict.OK, f"{keys} set (not shown)")
        if keys
        else Finding(
            "keys", Verdict.MISSING, "ROTATOR_KEYS is not set", "`rotator init` writes one to .env"
        )
    )
    return found


def _suppressions(settings: Settings) -> list[Finding]:
    """What `rotator-posture.toml` beside the manifest hides; nothing where it is not there."""
    path = settings.manifest.parent / SUPPRESSIONS_FILE
    if not path.exists():
        return []
    try:
        found = load_suppressions(path, RULES)
    except InputError as error:
        mend = "the daemon does not look at the posture before that is right"
        return [
            Finding("suppressions", Verdict.WRONG, line, mend) for line in str(error).splitlines()
        ]
    today = SystemClock().now().date()
    ended = [each for each in found if each.ended(today)]
    told = f"{path}: {len(found) - len(ended)} in force"
    past = Finding(
        "suppressions",
        Verdict.NOTE,
        f"{', '.join(each.where for each in ended)}: past the last day",
        "take them out, or decide anew",
    )
    return [Finding("suppressions", Verdict.OK, told), *([past] if ended else [])]


async def _schema(settings: Settings) -> Finding:
    try:
        name = shown(database_url(settings.database_url))
        await require_current(settings.database_url)
    except RotatorError as error:
        return _wrong("database", error)
    return Finding("database", Verdict.OK, f"{name}, schema up to date")


async def _working(rotator: Rotator) -> AsyncIterator[Finding]:
    yield Finding("keys open it", Verdict.OK, "values can be sealed and read")
    running = await daemon_is_running(rotator.store)
    yield Finding(
        "daemon",
        Verdict.OK if running else Verdict.NOTE,
        "running" if running else "none is running",
        "" if running else "`rotator run` starts one",
    )
    yield await _log_places(rotator)
    async for finding in _token(rotator):
        yield finding
    try:
        manifest = rotator.manifest()
    except InputError as error:
        for line in str(error).splitlines():
            yield Finding("manifest", Verdict.WRONG, line, "`rotator init` writes a fresh one")
        return
    yield Finding("manifest", Verdict.OK, f"{manifest.path}: {len(manifest.specs)} credentials")
    for finding in _hooks(rotator.settings, manifest):
        yield finding
    platform = await rotator.client.platform.platform()
    for doubt in doubtful_regions(manifest.specs, platform):
        mend = "`fly platform regions` lists them"
        yield Finding("regions", Verdict.NOTE, doubt, mend)
    async for finding in _rights(rotator, manifest):
        yield finding


def _hooks(settings: Settings, manifest: Manifest) -> list[Finding]:
    """Who may tell of leaks, and whether a daemon would listen."""
    from rotator.web.service import served

    if not manifest.hooks:
        return []
    try:
        served(manifest.hooks)
    except InputError as error:
        return [_wrong("hooks", error)]
    names = ", ".join(spec.name for spec in manifest.hooks)
    found = [Finding("hooks", Verdict.OK, f"{names}, on port {settings.hooks_port}")]
    if settings.hooks_port is None:
        told = f"{names}, but nobody listens"
        found = [Finding("hooks", Verdict.WRONG, told, "set ROTATOR_HOOKS_PORT for the daemon")]
    if settings.github_token is None and any(
        spec.format is HookFormat.GITHUB for spec in manifest.hooks
    ):
        told = "GitHub's alerts don't hold the value, so they are only told"
        mend = 'set ROTATOR_GITHUB_TOKEN, with "Secret scanning alerts: read"'
        found.append(Finding("hooks", Verdict.NOTE, told, mend))
    return found


async def _log_places(rotator: Rotator) -> Finding:
    """Where checkpoints and events go besides the database."""
    try:
        places = await places_of(rotator)
    except InputError as error:
        return _wrong("audit log goes to", error)
    failing = [place.name for place in places if place.failures]
    if failing:
        told = f"{', '.join(failing)} can't be reached"
        return Finding("audit log goes to", Verdict.WRONG, told, "`rotator audit places`")
    if not places:
        return Finding(
            "audit log goes to",
            Verdict.NOTE,
            "checkpoints to the daemon's log alone",
            "keep copies elsewhere: ROTATOR_CHECKPOINT_WEBHOOK, _FILE or _TARGET",
        )
    return Finding("audit log goes to", Verdict.OK, ", ".join(place.name for place in places))


async def _token(rotator: Rotator) -> AsyncIterator[Finding]:
    try:
        viewer = await rotator.client.organizations.viewer()
        yield Finding("GraphQL API", Verdict.OK, f"accepts the token, as {viewer}")
    except RotatorError as error:
        yield _wrong("GraphQL API", error)
    try:
        holders = await rotator.client.tokens.current()
        named = ", ".join(dict.fromkeys(h.organization for h in holders if h.organization))
        yield Finding("Machines API", Verdict.OK, f"accepts the token ({named or 'no names'})")
    except TokenRefused as error:
        mend = f"`{new_token_command(await organization_of(rotator))}`"
        yield Finding("Machines API", Verdict.WRONG, error.message, mend)
    except RotatorError as error:
        yield _wrong("Machines API", error)
    ends = rotator.client.authority.expires_at()
    if ends is not None:
        now = rotator.parts.clock.now()
        days = (ends - now).days
        verdict = Verdict.OK if days > 14 else Verdict.NOTE
        mend = "" if days > 14 else "make a new one with `fly tokens create org` before then"
        yield Finding("token expires", verdict, from_now(ends, now), mend)


async def _rights(rotator: Rotator, manifest: Manifest) -> AsyncIterator[Finding]:
    apps: dict[str, str] = {}
    for spec in manifest.specs:
        for lacking in await rotator.client.authority.missing(spec):
            yield Finding(
                spec.name,
                Verdict.WRONG,
                lacking,
                "give rotator a token made with `fly tokens create org`",
            )
        own = spec.params.get("app")
        names = [own] if isinstance(own, str) else []
        for app in [*names, *(t.app for t in spec.targets if t.app)]:
            apps.setdefault(app, spec.name)
    for app, credential in apps.items():
        try:
            overview = await rotator.client.fleet.app(app)
        except RotatorError as error:
            yield _wrong(f"app {app} ({credential})", error)
            continue
        count = overview.machine_count
        told = overview.status + (f", {count} machines" if count is not None else "")
        verdict = Verdict.OK if count != 0 else Verdict.NOTE
        yield Finding(
            f"app {app}", verdict, told, "" if count != 0 else "nothing reads its secrets"
        )


def _wrong(what: str, error: RotatorError) -> Finding:
    return Finding(what, Verdict.WRONG, error.message, error.next_step or "")


def _table(findings: list[Finding]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    colours = {
        Verdict.OK: "green",
        Verdict.NOTE: "cyan",
        Verdict.MISSING: "bold red",
        Verdict.WRONG: "bold red",
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "", "found", "mend it"):
        table.add_column(column, no_wrap=column in ("what", ""), overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.what),
            Text(finding.verdict.value, style=colours[finding.verdict]),
            Text(finding.told),
            Text(finding.mend),
        )
    return table
