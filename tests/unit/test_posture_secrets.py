"""Rules on app secrets and on plain text in what runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.domain.machines import MARK_SECRETS_VERSION
from rotator.domain.posture.finding import Finding, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_environment import check_environment
from rotator.domain.posture.rules_secrets import RULES, Digests, check_secrets
from rotator.domain.posture.running import OwnRecord, RunningApp, StandingSecret, TrackedSecret
from tests.unit.builders import NOW
from tests.unit.running_builders import WEB, a_secret, an_app, running, started

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CANARY = "4eC39HqLyjWDarjtT1zdp7dc"
BEFORE, AFTER = NOW - 10 * DAY, NOW - 4 * DAY
"""Around a secret that was set five days ago."""
NEW = a_secret(age=5 * DAY)
STAGED = {("secret-staged", "secret:web/KEY")}
DIFFER = {("machines-differ-in-secrets", "app:web")}


def lacking(**more: object) -> object:
    """A machine that was made before the secret was set, and nothing has happened to since."""
    return running(WEB, made_at=BEFORE, **({"updated_at": BEFORE} | more))  # type: ignore[arg-type]


def having(**more: object) -> object:
    return running(WEB, made_at=AFTER, updated_at=AFTER, **more)  # type: ignore[arg-type]


def app_of(*machines: object, secret: StandingSecret = NEW) -> RunningApp:
    return an_app(*machines, secrets=(secret,))  # type: ignore[arg-type]


CASES = {
    "all have it": (app_of(having(), having()), set()),
    "none has it": (app_of(lacking(), lacking()), STAGED),
    "some have it": (app_of(lacking(), having()), DIFFER),
    "the start was long before": (
        app_of(lacking(updated_at=NOW, events=(started(9 * DAY),))),
        STAGED,
    ),
    "it has started since, so that nobody can tell": (
        app_of(lacking(updated_at=NOW, events=(started(DAY),))),
        set(),
    ),
    "the start has fallen out of its events": (
        app_of(lacking(updated_at=NOW, events=())),
        set(),
    ),
    "one may have it and one can't": (
        app_of(lacking(), lacking(updated_at=NOW, events=(started(DAY),))),
        STAGED,
    ),
    "a version without a time": (
        app_of(running(WEB, made_at=None, updated_at=BEFORE)),
        set(),
    ),
    "within what clocks may differ": (
        app_of(running(WEB, made_at=NOW - 5 * DAY - timedelta(seconds=20))),
        set(),
    ),
    "a stopped machine takes it when it starts": (app_of(lacking(state="stopped")), set()),
    "a suspended one remembers the old": (app_of(lacking(state="suspended")), STAGED),
    "a machine that does not read it": (app_of(lacking(reads=frozenset({"OTHER"}))), set()),
    "a machine that Fly itself runs": (
        app_of(lacking(group="fly_app_release_command")),
        set(),
    ),
    "a deploy may be under way": (
        app_of(lacking(), secret=a_secret(age=timedelta(minutes=50))),
        set(),
    ),
    "Fly gives no date": (app_of(lacking(), secret=StandingSecret("KEY", "d")), set()),
}


def keys(findings: object) -> set[tuple[str, str]]:
    assert not isinstance(findings, Finding)
    return {(each.rule.id, each.subject) for each in findings}  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case)
def test_what_machines_lack_is_told_where_it_is_certain(case: str) -> None:
    app, expected = CASES[case]
    assert keys(check_secrets(app, OwnRecord(), PosturePolicy(), NOW)) == expected


def test_nothing_is_said_of_machines_while_a_rotation_of_the_app_is_under_way() -> None:
    own = OwnRecord(under_way=True)
    for case in ("none has it", "some have it"):
        assert list(check_secrets(CASES[case][0], own, PosturePolicy(), NOW)) == []


def test_a_machine_that_differs_is_named_with_what_it_lacks() -> None:
    marked = lacking(machine_id="148e0000000000", metadata={MARK_SECRETS_VERSION: "3"})
    (finding,) = check_secrets(app_of(marked, having()), OwnRecord(), PosturePolicy(), NOW)
    assert finding.message == (
        "1 of 2 running machines of web (148e0000000000) lack the newest KEY, which others have"
    )
    assert finding.mend == "fly secrets deploy --app web"


TRACKED = TrackedSecret("web-key", 30 * DAY)
AGES = [
    (179 * DAY, None, False),
    (181 * DAY, None, True),
    (29 * DAY, TRACKED, False),
    (31 * DAY, TRACKED, True),
    (31 * DAY, TrackedSecret("web-key"), False),
    (200 * DAY, TrackedSecret("web-key", 365 * DAY), False),
    (181 * DAY, TrackedSecret("web-key"), True),
]


@pytest.mark.parametrize(("age", "tracked", "found"), AGES)
def test_a_secret_is_old_by_its_own_policy_else_by_that_of_the_posture(
    age: timedelta, tracked: TrackedSecret | None, found: bool
) -> None:
    app = an_app(running(WEB, made_at=NOW), secrets=(a_secret(age=age),))
    own = OwnRecord(tracked={"KEY": tracked} if tracked else {})
    expected = {("secret-old", "secret:web/KEY")} if found else set()
    assert keys(check_secrets(app, own, PosturePolicy(), NOW)) == expected


def test_an_old_secret_is_mended_by_whoever_looks_after_it() -> None:
    app = an_app(running(WEB, made_at=NOW), secrets=(a_secret(age=200 * DAY),))
    (ours,) = check_secrets(app, OwnRecord(tracked={"KEY": TRACKED}), PosturePolicy(), NOW)
    assert ours.mend == "rotator rotate now web-key --reason 'older than 30d'"
    assert ours.message == "KEY of web was set 200d ago; its policy allows 30d"
    (theirs,) = check_secrets(app, OwnRecord(), PosturePolicy(), NOW)
    assert theirs.mend.startswith("fly secrets set KEY=NEW_VALUE --app web")


def shared(*apps: RunningApp, tracked: dict[tuple[str, str], str] | None = None) -> object:
    digests = Digests()
    for app in apps:
        digests.add(app)
    return keys(digests.findings(tracked or {}))


def holding(app: str, name: str = "KEY", digest: str = "d") -> RunningApp:
    return an_app(running(WEB), name=app, secrets=(a_secret(name, age=DAY, digest=digest),))


def test_equal_digests_of_several_apps_are_told_at_each_of_them() -> None:
    assert shared(holding("web"), holding("api", "OTHER"), holding("jobs", digest="e")) == {
        ("secret-shared", "secret:web/KEY"),
        ("secret-shared", "secret:api/OTHER"),
    }


def test_nothing_is_shared_where_digests_differ_or_are_absent_or_of_one_app() -> None:
    assert shared(holding("web", digest="a"), holding("api", digest="b")) == set()
    assert shared(holding("web", digest=""), holding("api", digest="")) == set()
    twice = an_app(running(WEB), secrets=(a_secret("A", age=DAY), a_secret("B", age=DAY)))
    assert shared(twice) == set()


def test_what_one_credential_brings_to_all_of_them_is_as_it_should_be() -> None:
    both = {("web", "KEY"): "key", ("api", "KEY"): "key"}
    assert shared(holding("web"), holding("api"), tracked=both) == set()
    assert shared(holding("web"), holding("api"), tracked={("web", "KEY"): "key"})
    assert shared(holding("web"), holding("api"), tracked=both | {("api", "KEY"): "other"})


def test_plain_text_is_told_once_a_name_and_never_with_its_value() -> None:
    app = an_app(
        *(running(WEB, env={"API_KEY": CANARY, "PORT": "8080"}) for _ in range(3)),
        running(group="worker", env={"API_KEY": CANARY, "SECRET": ""}),
    )
    (finding,) = check_environment(app, NOW)
    assert (finding.rule.id, finding.subject) == ("secret-in-live-env", "env:web/API_KEY")
    assert finding.rule.topic is Topic.CONFIG
    assert "group app, worker" in finding.message
    assert CANARY not in repr(finding)


def test_what_is_no_secret_is_left_alone() -> None:
    app = an_app(running(WEB, env={"PORT": "8080", "PRIMARY_REGION": "fra", "API_KEY": "changeme"}))
    assert list(check_environment(app, NOW)) == []


def test_every_rule_is_about_secrets() -> None:
    assert {rule.topic for rule in RULES} == {Topic.SECRETS}
    assert len({rule.id for rule in RULES}) == len(RULES) == 4
