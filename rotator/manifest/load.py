"""Parse a manifest: every problem in it is found and told at once."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path as FilePath
from typing import Final, Protocol, runtime_checkable

from rotator.domain.credential import CredentialMode, CredentialSpec, TargetSpec
from rotator.domain.errors import InputError
from rotator.domain.fields import Field, FieldType, Params, ParamValue
from rotator.domain.hook import HookSpec
from rotator.domain.names import wrong_credential, wrong_organization
from rotator.domain.policy import DisruptionBudget, Policy, RolloutPolicy, Strategy
from rotator.domain.posture.policy import PosturePolicy
from rotator.manifest.hooks import read_hooks
from rotator.manifest.locate import key_lines
from rotator.manifest.policies import read_policy
from rotator.manifest.posture import read_posture
from rotator.manifest.problems import ManifestError, Problem, Problems
from rotator.manifest.reader import Table, type_name
from rotator.manifest.rollouts import STRATEGIES, read_disruption, read_rollout

MANIFEST_BYTES: Final = 1024 * 1024
_MODE: Final = 'mode = "observe"'
_TARGETS: Final = 'targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]'


class KindRules(Protocol):
    """What the manifest needs to know of a kind (`domain.ports.Kind` has it all)."""

    fields: tuple[Field, ...]

    def check(self, params: Params) -> str | None: ...
    def place(self, name: str, organization: str, params: Params) -> str: ...
    def fits(self, spec: CredentialSpec, now: datetime) -> str | None: ...


@runtime_checkable
class Derived(Protocol):
    """A kind of which a part of the spec follows from the rest of the manifest."""

    def derived(
        self, spec: CredentialSpec, everything: Sequence[CredentialSpec]
    ) -> CredentialSpec: ...


class TargetRules(Protocol):
    """What the manifest needs to know of a target (`domain.ports.Target` has it all)."""

    fields: tuple[Field, ...]

    def check(self, params: Params) -> str | None: ...
    def key(self, params: Params) -> str: ...
    def app(self, params: Params) -> str | None: ...


@dataclass(frozen=True)
class Manifest:
    """A manifest that holds. `digest` changes with the file."""

    path: str
    organization: str
    specs: tuple[CredentialSpec, ...]
    digest: str
    posture: PosturePolicy = field(default_factory=PosturePolicy)
    mode: CredentialMode = CredentialMode.ROTATE
    hooks: tuple[HookSpec, ...] = ()


@dataclass(frozen=True)
class _Defaults:
    owner: str | None
    runbook: str | None
    policy: Policy
    rollout: RolloutPolicy
    mode: CredentialMode = CredentialMode.ROTATE


@dataclass(frozen=True)
class _Reading:
    """What every part of the reading needs."""

    kinds: Mapping[str, KindRules]
    targets: Mapping[str, TargetRules]
    folder: FilePath
    now: datetime
    organization: str


def load_manifest(
    path: FilePath,
    kinds: Mapping[str, KindRules],
    targets: Mapping[str, TargetRules],
    now: datetime,
) -> Manifest:
    """Read a manifest file.

    Raises:
        InputError: the file is missing, unreadable or too large.
        ManifestError: what it says can't be taken.
    """
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise InputError("is larger than 1 MiB", where=str(path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            "there is no such manifest", where=str(path), next_step="`rotator init` writes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"can't be read: {why}", where=str(path)) from None
    return parse_manifest(text, str(path), kinds, targets, now, folder=path.parent)


def parse_manifest(
    text: str,
    filename: str,
    kinds: Mapping[str, KindRules],
    targets: Mapping[str, TargetRules],
    now: datetime,
    *,
    folder: FilePath = FilePath(),
) -> Manifest:
    """Read a manifest's text. See `load_manifest`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _syntax_line(str(error), text)
        raise ManifestError((Problem(filename, line, "syntax", str(error)),)) from None
    problems = Problems(filename, key_lines(text))
    root = Table(data, (), problems)
    organization = root.text("organization", 'organization = "acme"', required=True) or ""
    if organization:
        root.named("organization", organization, wrong_organization)
    reading = _Reading(kinds, targets, folder, now, organization)
    disruption = root.table("disruption")
    budget = read_disruption(disruption) if disruption else DisruptionBudget()
    posture = root.table("posture")
    bounds = read_posture(posture, folder) if posture else PosturePolicy()
    defaults = _defaults(root.table("defaults"), reading, budget)
    specs = _credentials(root.table("credentials"), defaults, reading)
    hooks = read_hooks(root)
    root.finish()
    _unique(specs, root)
    _origins(specs, data, root)
    problems.raise_if_any()
    specs = [_derived(spec, kinds[spec.kind], specs) for spec in specs]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Manifest(
        filename, organization, tuple(specs), digest, bounds, mode=defaults.mode, hooks=hooks
    )


def parse_target(text: str, where: str, targets: Mapping[str, TargetRules]) -> TargetSpec:
    """One target as a manifest writes it, such as `{ type = "file", path = "/data/x" }`.

    Raises:
        InputError: it can't be taken.
    """
    example = 'for example { type = "file", path = "/witness/checkpoint" }'
    try:
        data = tomllib.loads(f"target = {text}")["target"]
    except tomllib.TOMLDecodeError:
        data = None
    if not isinstance(data, dict):
        raise InputError("not a table of TOML", where=where, next_step=example)
    problems = Problems(where, {})
    spec = _target(Table(data, ("target",), problems), RolloutPolicy(), targets)
    problems.raise_if_any()
    assert spec is not None
    return spec


def _derived(
    spec: CredentialSpec, kind: KindRules, everything: Sequence[CredentialSpec]
) -> CredentialSpec:
    return kind.derived(spec, everything) if isinstance(kind, Derived) else spec


def _syntax_line(message: str, text: str) -> int:
    """tomllib says `(at line 3, column 5)` or `(at end of document)`."""
    _, _, rest = message.rpartition("at line ")
    number = rest.split(",")[0]
    return int(number) if number.isdigit() else max(1, text.count("\n"))


def _defaults(table: Table | None, reading: _Reading, budget: DisruptionBudget) -> _Defaults:
    base = RolloutPolicy(disruption=budget)
    if table is None:
        return _Defaults(None, None, Policy(), base)
    policy, rollout = table.table("policy"), table.table("rollout")
    found = _Defaults(
        owner=table.text("owner", 'owner = "platform@acme.example"'),
        runbook=table.text("runbook", 'runbook = "https://runbooks.acme.example"'),
        policy=read_policy(policy, Policy(), reading.folder, reading.now) if policy else Policy(),
        rollout=read_rollout(rollout, base) if rollout else base,
        mode=_mode(table) or CredentialMode.ROTATE,
    )
    table.finish()
    return found


def _mode(table: Table) -> CredentialMode | None:
    return table.choice("mode", CredentialMode, "rotate, observe", _MODE)


def _credentials(
    table: Table | None, defaults: _Defaults, reading: _Reading
) -> list[CredentialSpec]:
    if table is None:
        return []
    specs = []
    for name in table.keys:
        table.named(name, name, wrong_credential)
        inner = table.table(name)
        spec = _credential(name, inner, defaults, reading) if inner else None
        if spec is not None:
            specs.append(spec)
    return specs


def _credential(
    name: str, table: Table, defaults: _Defaults, reading: _Reading
) -> CredentialSpec | None:
    kinds = ", ".join(sorted(reading.kinds))
    kind_name = table.text("kind", 'kind = "secret"', required=True)
    kind = reading.kinds.get(kind_name or "")
    if kind_name is not None and kind is None:
        table.wrong("kind", f"{kind_name!r} is none of {kinds}", 'kind = "secret"')
    before = len(table.problems.found)
    policy_table, rollout_table = table.table("policy"), table.table("rollout")
    policy, rollout = defaults.policy, defaults.rollout
    if policy_table is not None:
        policy = read_policy(policy_table, policy, reading.folder, reading.now)
    if rollout_table is not None:
        rollout = read_rollout(rollout_table, rollout)
    owner = table.text("owner", 'owner = "platform@acme.example"') or defaults.owner
    runbook = table.text("runbook", 'runbook = "https://…"') or defaults.runbook
    mode = _mode(table) or defaults.mode
    targets = _targets(table, rollout, reading, required=mode is CredentialMode.ROTATE)
    derived_from = _names(table, "derived_from", 'derived_from = ["ci-web"]')
    if kind is None or kind_name is None:
        return None
    params = _params(table, kind.fields)
    table.finish()
    if len(table.problems.found) > before:
        return None
    problem = kind.check(params)
    if problem is not None:
        table.problems.add(table.path, problem)
        return None
    spec = CredentialSpec(
        name=name,
        kind=kind_name,
        organization=reading.organization,
        place=kind.place(name, reading.organization, params),
        params=params,
        targets=targets,
        policy=policy,
        owner=owner,
        runbook=runbook,
        mode=mode,
        derived_from=derived_from,
    )
    problem = kind.fits(spec, reading.now)
    if problem is not None:
        table.problems.add(table.path, problem)
    return spec if problem is None else None


def _params(table: Table, fields: Sequence[Field]) -> dict[str, ParamValue]:
    found: dict[str, ParamValue] = {}
    for rule in fields:
        if rule.type is FieldType.TABLE:
            found |= _inner_params(table, rule)
        elif (value := table.field(rule)) is not None:
            found[rule.name] = value
    return found


def _inner_params(table: Table, rule: Field) -> dict[str, ParamValue]:
    inner = table.table(rule.name)
    if inner is None:
        return {}
    if not inner.keys and isinstance(table.raw(rule.name), dict):
        table.wrong(rule.name, "is empty", f"{rule.name} = {rule.example}")
    found = _params(inner, rule.fields)
    inner.finish()
    return {f"{rule.name}.{name}": value for name, value in found.items()}


def _names(table: Table, key: str, example: str) -> tuple[str, ...]:
    items = table.array(key, example)
    for item in items:
        if not isinstance(item, str):
            table.wrong(key, f"names of credentials are wanted, not {type_name(item)}", example)
    return tuple(dict.fromkeys(item for item in items if isinstance(item, str)))


def _targets(
    table: Table, rollout: RolloutPolicy, reading: _Reading, *, required: bool
) -> tuple[TargetSpec, ...]:
    """Where the value goes. What is only observed may not say so yet."""
    items = table.array("targets", _TARGETS)
    if not items and required:
        table.wrong("targets", "is missing: where shall the value go?", _TARGETS)
    found = []
    for index, item in enumerate(items):
        inner = Table(item, (*table.at("targets"), index), table.problems)
        spec = _target(inner, rollout, reading.targets)
        if spec is not None:
            found.append(spec)
    return tuple(found)


def _target(
    table: Table, rollout: RolloutPolicy, targets: Mapping[str, TargetRules]
) -> TargetSpec | None:
    type_name = table.text("type", 'type = "fly-secret"', required=True)
    if type_name is None:
        return None
    rules = targets.get(type_name)
    if rules is None:
        table.wrong("type", f"{type_name!r} is none of {', '.join(sorted(targets))}")
        return None
    before = len(table.problems.found)
    rollout = _target_rollout(table, rollout)
    params = _params(table, rules.fields)
    table.finish()
    if len(table.problems.found) > before:
        return None
    problem = rules.check(params)
    if problem is not None:
        table.problems.add(table.path, problem)
        return None
    return TargetSpec(type_name, rules.key(params), params, rules.app(params), rollout)


def _target_rollout(table: Table, rollout: RolloutPolicy) -> RolloutPolicy:
    """`rollout = "none"` for short, or a table."""
    if "rollout" not in table:
        return rollout
    if isinstance(table.raw("rollout"), dict):
        inner = table.table("rollout")
        return read_rollout(inner, rollout) if inner else rollout
    strategy = table.choice("rollout", Strategy, STRATEGIES, 'rollout = "none"')
    return replace(rollout, strategy=strategy) if strategy else rollout


def _origins(specs: Sequence[CredentialSpec], data: Mapping[str, object], root: Table) -> None:
    """`derived_from` names credentials of this manifest, and nothing comes from itself."""
    credentials = data.get("credentials")
    known = set(credentials) if isinstance(credentials, dict) else set()
    for spec in specs:
        at = ("credentials", spec.name, "derived_from")
        for name in spec.derived_from:
            if name == spec.name:
                root.problems.add(at, "names the credential itself")
            elif name not in known:
                root.problems.add(at, f"{name!r} is no credential of this manifest")


def _unique(specs: Sequence[CredentialSpec], root: Table) -> None:
    """Two credentials at one place, or two values for one target, would undo each other."""
    places: dict[str, str] = {}
    keys: dict[str, str] = {}
    for spec in specs:
        path = ("credentials", spec.name)
        other = places.setdefault(spec.place, spec.name)
        if other != spec.name:
            root.problems.add(path, f"is the same thing as {other!r}: {spec.place}")
        for index, target in enumerate(spec.targets):
            holder = keys.setdefault(target.key, spec.name)
            at = (*path, "targets", index)
            if holder != spec.name:
                root.problems.add(at, f"{target.key} is written by {holder!r} already")
            elif any(t.key == target.key for t in spec.targets[:index]):
                root.problems.add(at, f"{target.key} is named twice")
