"""Certificates as people and scripts see them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from rotator.cli.certificate_view import Seen, as_data, show_seen
from rotator.cli.text import print_json
from rotator.domain.certificate_alarms import alarm_of, next_recheck
from rotator.domain.posture.certificate import Api, CertificateSnapshot, Source
from rotator.domain.posture.handshake import Handshake, Reach
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_certificates import findings
from rotator.engine.certificates.look import Unread
from tests.unit.builders import NOW
from tests.unit.certificate_builders import HOST, a_hostname, a_view, issued, shown


def seen(snapshot: CertificateSnapshot) -> Seen:
    found = tuple(findings(snapshot, PosturePolicy(), NOW))
    plan = next_recheck(snapshot, [NOW], NOW, 14)
    return Seen(snapshot, 14, found, plan, alarm_of(snapshot, NOW))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def printed(capsys: pytest.CaptureFixture[str], *snapshots: CertificateSnapshot) -> str:
    due = {"acme": NOW + timedelta(hours=3)}
    show_seen([seen(each) for each in snapshots], ["acme"], due, NOW)
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("snapshot", "told"),
    [
        (a_hostname(handshake=shown()), "good www.example.com web 60d Let's Encrypt"),
        (
            a_hostname(handshake=shown()),
            "API: ends in 60d, DNS right; GraphQL: the same; handshake: as Fly says, ends in 60d",
        ),
        (a_hostname(handshake=shown(30)), "another one, ends in 30d, TLSv1.3"),
        (a_hostname(handshake=shown(60, "x.org")), "wrong name, ends in 60d, TLSv1.3"),
        (a_hostname(handshake=shown(chain_problem="self-signed")), "chain broken, ends in 60d"),
        (a_hostname(), "handshake: off"),
        (
            a_hostname(handshake=Handshake(Reach.FORBIDDEN, NOW, "10.0.0.1 is not public")),
            "handshake: not spoken to: 10.0.0.1 is not public",
        ),
        (
            a_hostname(handshake=Handshake(Reach.UNREACHABLE, NOW, "it did not answer in time")),
            "unreachable: it did not answer in time",
        ),
        (
            a_hostname(a_view(None)),
            "web - - Machines API: nothing issued, DNS right",
        ),
        (
            a_hostname(a_view(None, more=issued(90, Source.CUSTOM))),
            "90d Let's Encrypt (imported)",
        ),
        (
            CertificateSnapshot("acme", "web", HOST, None, a_view(), frozenset({Api.MACHINES})),
            "Machines API: did not answer; GraphQL: ends in 60d, DNS right",
        ),
        (
            CertificateSnapshot("acme", "web", HOST, a_view(), None),
            "right; GraphQL: has it not",
        ),
        (a_hostname(a_view(9)), "! high: it expires in 9d"),
        (a_hostname(a_view(9)), "again in 1h"),
        (a_hostname(a_view(20)), "! the certificate of www.example.com expires in 20d, and Fly"),
        (a_hostname(), "acme: 1 hostname: 1 good the daemon looks next in 3h"),
        (a_hostname(host="[red]x.example.com"), "[red]x.example.com"),
    ],
)
def test_a_row_says_what_both_apis_and_the_handshake_say(
    capsys: pytest.CaptureFixture[str], snapshot: CertificateSnapshot, told: str
) -> None:
    assert told in printed(capsys, snapshot)


def test_the_worst_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = a_hostname(host="a.example.com"), a_hostname(a_view(-1), host="b.example.com")
    out = printed(capsys, good, bad)
    assert out.index("b.example.com") < out.index("a.example.com")
    assert "acme: 2 hostnames: 1 expired, 1 good" in out


def test_scripts_get_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = a_hostname(a_view(9), a_view(40), handshake=shown(9))
    print_json(as_data([seen(snapshot)], [Unread("acme", "api", "no")], {"acme": None}, NOW))
    data = json.loads(capsys.readouterr().out)
    (row,) = data["certificates"]
    assert (row["state"], row["source"], row["ends_in"]) == ("expiring", "fly", "9d")
    assert row["disagreements"] == [
        "the Machines API says that it ends 2026-06-10 12:00Z, GraphQL 2026-07-11 12:00Z"
    ]
    assert row["handshake"]["served"]["names"] == [HOST]
    assert row["as_issued"] is True
    assert {each["rule"] for each in row["findings"]} == {
        "certificate-expiring",
        "certificate-apis-disagree",
    }
    assert row["alarm"]["stage"] == "2026-06-10 2w"
    assert row["recheck"]["at"] == "2026-06-01T13:00:00Z"
    assert data["unread"] == [{"organization": "acme", "app": "api", "why": "no"}]
