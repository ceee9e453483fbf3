"""When a certificate's end is told, and when Fly is asked to look at it again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rotator.domain.certificate_alarms import (
    MOST_CHECKS,
    alarm_of,
    next_recheck,
)
from rotator.domain.posture.certificate import CertificateSnapshot, Problem, Source
from tests.unit.builders import NOW
from tests.unit.certificate_builders import a_hostname, a_view, issued, shown

DAYS = 14


def imported(days: float) -> CertificateSnapshot:
    return a_hostname(a_view(None, more=issued(days, Source.CUSTOM)))


@pytest.mark.parametrize(
    ("snapshot", "stage"),
    [
        (a_hostname(a_view(60)), None),
        (a_hostname(a_view(28.5)), None),
        (a_hostname(a_view(27.9)), "30d"),
        (a_hostname(a_view(14)), "2w"),
        (a_hostname(a_view(6.9)), "1w"),
        (a_hostname(a_view(0.5)), "1d"),
        (a_hostname(a_view(-3)), "0s"),
        (a_hostname(a_view(None)), None),
        (imported(31), None),
        (imported(29.9), "30d"),
        (a_hostname(a_view(4), handshake=shown(4, life_days=6)), None),
        (a_hostname(a_view(1.5), handshake=shown(1.5, life_days=6)), "1w"),
    ],
)
def test_an_end_is_told_by_stages_and_only_when_its_renewal_is_late(
    snapshot: CertificateSnapshot, stage: str | None
) -> None:
    alarm = alarm_of(snapshot, NOW)
    assert (alarm.stage.split()[1] if alarm else None) == stage


def test_an_alarm_says_what_keeps_fly_from_renewing_and_what_helps() -> None:
    problem = Problem("DNS_NOT_CONFIGURED", "DNS records are not configured.")
    alarm = alarm_of(a_hostname(a_view(5, configured=False, problems=[problem])), NOW)
    assert alarm is not None
    assert alarm.sentence == (
        "the certificate of www.example.com expires in 5d, and Fly can't renew it: "
        "DNS records are not configured"
    )
    assert alarm.command.startswith("set www.example.com CNAME web.fly.dev; then fly certs check")


@pytest.mark.parametrize(
    ("snapshot", "stage"),
    [
        (a_hostname(handshake=shown(20)), None),
        (a_hostname(handshake=shown(13)), "2026-06-14 2w served"),
        (a_hostname(handshake=shown(-1)), "2026-05-31 0s served"),
        (a_hostname(a_view(5), handshake=shown(13)), "2026-06-06 1w"),
        (a_hostname(a_view(13), handshake=shown(13)), "2026-06-14 2w"),
        (a_hostname(a_view(89.9), handshake=shown(13)), None),
    ],
)
def test_what_is_served_and_is_none_of_flys_is_told_too(
    snapshot: CertificateSnapshot, stage: str | None
) -> None:
    alarm = alarm_of(snapshot, NOW)
    assert (alarm.stage if alarm else None) == stage
    if alarm is not None and alarm.served:
        assert "that 66.241.124.10 serves for www.example.com" in alarm.sentence
        assert alarm.command == "fly certs setup www.example.com --app web"


def due_times(snapshot: CertificateSnapshot, hours: int) -> list[int]:
    """Hours from now at which Fly is asked, when each look may ask."""
    tries: list[datetime] = []
    asked = []
    for hour in range(hours):
        at = NOW + timedelta(hours=hour)
        if next_recheck(snapshot, tries, at, DAYS).due:
            tries.append(at)
            asked.append(hour)
    return asked


def test_rechecks_come_later_and_later_until_they_are_given_up() -> None:
    asked = due_times(a_hostname(a_view(14)), 24 * 60)
    assert asked[:7] == [0, 1, 7, 31, 55, 103, 175]
    # The end is after 336 hours.
    assert asked[-1] > 336 + 24 * 21
    assert len(asked) == MOST_CHECKS
    done = next_recheck(a_hostname(a_view(1)), [NOW] * MOST_CHECKS, NOW, DAYS)
    assert (done.due, done.at) == (False, None)


def test_a_limit_of_the_authority_is_waited_for() -> None:
    until = NOW + timedelta(hours=5)
    limited = a_hostname(replace(a_view(10), rate_limited_until=until))
    assert next_recheck(limited, [], NOW, DAYS).at == until
    assert next_recheck(limited, [], until, DAYS).due


def test_no_more_than_three_rechecks_a_day_whatever_has_happened() -> None:
    tries = [NOW - timedelta(hours=hours) for hours in (20, 10, 9)]
    found = next_recheck(a_hostname(a_view(10)), tries, NOW + timedelta(hours=15), DAYS)
    assert found.due
    crowded = [NOW - timedelta(hours=hours) for hours in (2, 1.5, 1.2)]
    assert next_recheck(a_hostname(a_view(10)), crowded, NOW, DAYS).at == NOW + timedelta(
        hours=22.8
    )


@pytest.mark.parametrize(
    "snapshot",
    [
        a_hostname(a_view(15)),
        imported(3),
        a_hostname(a_view(None)),
        a_hostname(a_view(3, requested=False)),
        a_hostname(a_view(4), handshake=shown(4, life_days=6)),
    ],
)
def test_fly_is_not_asked_where_nothing_is_late_or_nothing_can_be_renewed(
    snapshot: CertificateSnapshot,
) -> None:
    assert not next_recheck(snapshot, [], NOW, DAYS).due
