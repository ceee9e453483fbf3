"""The drawing of a rollout: it reads without colour, at any width, whatever the record holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.cli.drawing import draw_rollout
from rotator.cli.glyphs import ASCII, UNICODE
from rotator.cli.lines import plain_lines
from rotator.cli.record import record_data, record_lines
from rotator.cli.rollout_view import RolloutView, Wait, rollout_state
from rotator.cli.text import plain
from rotator.cli.timeline import Phase, scale_of, soak_ends, spans_of
from rotator.domain.policy import Probe, Rehearsal, RolloutPolicy, Strategy
from rotator.domain.rotation import (
    OPEN_ROLLOUTS,
    MachineRestart,
    RestartState,
    Rollout,
    RolloutState,
    RolloutWish,
)
from tests.unit.builders import NOW, a_rotation

ROLLOUT = "01M880PXC9QSH7ASZ085SH53HP"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_rollout(state: RolloutState = RolloutState.SUCCEEDED, **more: object) -> Rollout:
    ended = None if state in OPEN_ROLLOUTS else after(60)
    values: dict[str, object] = {
        "policy": RolloutPolicy(),
        "waves": 2,
        "started_at": NOW,
        "ended_at": ended,
        **more,
    }
    return Rollout(ROLLOUT, "web", 7, state=state, **values)  # type: ignore[arg-type]


def a_restart(number: int, begin: float | None = 0, **more: object) -> MachineRestart:
    """A machine that was restarted from this second on: 1 s each for lease, update, stop, then
    3 s to boot, 4 s for its checks."""
    values: dict[str, object] = {
        "machine_name": "machine",
        "region": "fra",
        "process_group": "app",
        "wave": 1,
        "state": RestartState.HEALTHY if begin is not None else RestartState.PLANNED,
        "old_instance_id": "01M50ZSYDYT85XPR84GZ49V88V",
    }
    if begin is not None:
        passed = {"admitted": 0, "leased": 1, "updated": 2, "stopped": 3, "started": 6}
        passed |= {"healthy": 10, "released": 10, "ended": 10}
        values |= {f"{name}_at": after(begin + at) for name, at in passed.items()}
        values |= {"new_instance_id": "01M87ZPXC5G60SK9T94HAGTG6X", "secrets_version": 7}
    return MachineRestart(ROLLOUT, f"{number:014x}", **(values | more))  # type: ignore[arg-type]


def drawn(view: RolloutView, width: int = 100, *, at: float = 60, ascii_only: bool = False) -> str:
    return "\n".join(plain_lines(draw_rollout(view, after(at), width, ascii_only=ascii_only)))


def bar_line(text: str, number: int) -> str:
    return next(line for line in text.splitlines() if f"{number:014x}" in line)


def test_a_machine_is_a_line_whose_phases_stand_in_their_order() -> None:
    view = RolloutView(a_rollout(ended_at=after(20)), (a_restart(1, 5), a_restart(2, 10, wave=2)))
    line = bar_line(drawn(view, 120), 1)
    glyphs = [UNICODE.phases[p] for p in (Phase.QUEUED, Phase.LEASE, Phase.UPDATE, Phase.BOOT)]
    places = [line.index(glyph) for glyph in [*glyphs, UNICODE.phases[Phase.CHECKS], UNICODE.good]]
    assert places == sorted(places)
    assert line.split()[-2:] == ["healthy", "10.0s"]
    # On one scale the second machine begins where the first one is half way.
    assert bar_line(drawn(view, 120), 2).index("┄") > places[1]


def test_waves_are_marked_and_canaries_named() -> None:
    policy = RolloutPolicy(canary=1, canary_soak=timedelta(seconds=5))
    machines = (a_restart(1), a_restart(2, 16, wave=2), a_restart(3, None, wave=3))
    text = drawn(RolloutView(a_rollout(policy=policy), machines))
    marks = [line.strip() for line in text.splitlines() if line.strip().startswith("wave")]
    assert marks == ["wave 1, canary", "wave 2", "wave 3"]
    assert "═" in bar_line(text, 1)
    assert "═" not in bar_line(text, 2)
    assert "not reached" in bar_line(text, 3)


def test_a_roll_back_has_neither_canaries_nor_soaks() -> None:
    policy = RolloutPolicy(canary=1, canary_soak=timedelta(seconds=5))
    text = drawn(RolloutView(a_rollout(policy=policy), (a_restart(1),), repairing=True))
    assert "canary" not in text
    assert "═" not in text


def test_a_wave_that_a_pause_cut_in_two_is_told_as_continued() -> None:
    text = drawn(RolloutView(a_rollout(), (a_restart(1), a_restart(2, 40))))
    assert text.index(f"{1:014x}") < text.index("wave 1, continued") < text.index(f"{2:014x}")


def test_a_machine_that_recovered_during_a_pause_is_done_when_it_was_last_worked_on() -> None:
    found = a_restart(1, wave=0, state=RestartState.UP_TO_DATE, healthy_at=None, ended_at=None)
    machines = (found, a_restart(2, 3000))
    text = drawn(RolloutView(a_rollout(ended_at=after(3010)), machines), at=3010)
    assert "up to date when they were looked at again" in text
    assert bar_line(text, 1).index(UNICODE.good) <= bar_line(text, 2).index("≈≈≈")
    assert bar_line(text, 1).split()[-2:] == ["up-to-date", "10.0s"]


def test_an_error_stands_under_its_machine_and_what_was_left_alone_with_its_reason() -> None:
    failed = a_restart(1, state=RestartState.FAILED, healthy_at=None, note="http is critical")
    left = a_restart(2, None, state=RestartState.LEFT_OUT, note="it is a builder")
    lines = drawn(RolloutView(a_rollout(RolloutState.FAILED), (failed, left))).splitlines()
    place = next(n for n, line in enumerate(lines) if f"{1:014x}" in line)
    assert UNICODE.bad in lines[place]
    assert lines[place + 1].strip() == "✗ http is critical"
    assert any("left-out (it is a builder)" in line for line in lines)


def test_a_long_pause_is_cut_so_that_the_work_can_be_seen() -> None:
    view = RolloutView(a_rollout(ended_at=after(7200)), (a_restart(1), a_restart(2, 7180, wave=2)))
    text = drawn(view, 100, at=7200)
    assert "≈≈≈" in bar_line(text, 2)
    assert "nothing done for long" in text
    for number in (1, 2):
        assert bar_line(text, number).count(UNICODE.phases[Phase.CHECKS]) > 5


def test_drains_and_replacements_are_drawn_in_their_own_order() -> None:
    policy = RolloutPolicy(drain=timedelta(seconds=5))
    drained = a_restart(
        1,
        drained_at=after(1),
        updated_at=after(6.2),
        stopped_at=after(6.5),
        started_at=after(8),
    )
    rollout = a_rollout(policy=policy)
    assert [span.phase for span in spans_of(drained, rollout, after(60))] == [
        Phase.LEASE,
        Phase.DRAIN,
        Phase.UPDATE,
        Phase.BOOT,
        Phase.CHECKS,
    ]
    replaced = a_restart(
        2,
        state=RestartState.REPLACED,
        replaced_by="clone",
        leased_at=after(12),
        stopped_at=after(15),
        ended_at=after(15),
    )
    phases = [span.phase for span in spans_of(replaced, rollout, after(60))]
    assert phases == [Phase.UPDATE, Phase.BOOT, Phase.CHECKS, Phase.READY, Phase.DRAIN]


def test_where_nothing_but_ascii_can_be_shown_everything_is_ascii() -> None:
    machines = (a_restart(1), a_restart(2, state=RestartState.FAILED, note="it died"))
    text = drawn(RolloutView(a_rollout(), machines), ascii_only=True)
    assert text.isascii()
    assert len({*ASCII.phases.values(), ASCII.good, ASCII.bad, ASCII.asleep}) == len(Phase) + 3
    assert len({*UNICODE.phases.values(), UNICODE.good, UNICODE.bad}) == len(Phase) + 2


def test_a_big_rollout_is_folded_to_what_happens_now() -> None:
    done = [a_restart(n, 0) for n in range(50)]
    now = a_restart(50, 30, wave=2, state=RestartState.CHECKING, healthy_at=None, ended_at=None)
    queued = [a_restart(n, None, wave=3) for n in range(51, 100)]
    view = RolloutView(a_rollout(RolloutState.RUNNING), (*done, now, *queued))
    lines = plain_lines(draw_rollout(view, after(40), 80, most_lines=20))
    assert len(lines) <= 20
    assert any("wave 1: ✓ 50 machines done" in line for line in lines)
    assert any("checking" in line for line in lines)
    assert any("wave 3: · 49 machines queued" in line for line in lines)


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_the_record_says_everything_at_usual_widths(width: int) -> None:
    policy = RolloutPolicy(
        canary=1, rehearsal=Rehearsal(("/app/check",)), probe=Probe(8080, "/healthz")
    )
    rollout = a_rollout(policy=policy, release_id="rel", release_version=12, error="it went wrong")
    rotation = replace(a_rotation(), reason="laptop stolen")
    view = RolloutView(rollout, (a_restart(1), a_restart(2, 12, wave=2)), (rotation,))
    lines = plain_lines(record_lines(view, after(60), width))
    text = " ".join(" ".join(lines).split())
    for told in (
        ROLLOUT,
        rotation.id,
        "laptop stolen",
        "secrets version 7, as release v12",
        "rolling: wave by wave",
        "rehearsal on a disposable machine (/app/check)",
        "probe :8080/healthz",
        "it went wrong",
        "01M50ZSYDYT85XPR84GZ49V88V 01M87ZPXC5G60SK9T94HAGTG6X v7",
        "0.0s 1.0s - 2.0s 3.0s 6.0s 10.0s 10.0s",
    ):
        assert told in text
    assert max(map(len, lines)) <= width


def test_what_a_rollout_waits_for_and_what_was_asked_of_it_is_its_state() -> None:
    running = a_rollout(RolloutState.RUNNING)
    assert rollout_state(RolloutView(replace(running, wish=RolloutWish.PAUSE), ())) == "pausing"
    waiting = RolloutView(running, (), waits=(Wait("1", "session", "the budget is full", None),))
    assert rollout_state(waiting) == "waiting"
    text = " ".join(plain_lines(record_lines(waiting, after(5), 80)))
    assert "the budget is full" in text
    paused = RolloutView(replace(running, state=RolloutState.PAUSED, error="it is ill"), ())
    told = " ".join(" ".join(plain_lines(record_lines(paused, after(5), 80))).split())
    assert f"`rotator rollout resume {ROLLOUT}`" in told
    assert "it is ill" in told


SECONDS = st.floats(-100, 100_000).map(after)
TIMES = (
    "admitted_at",
    "leased_at",
    "drained_at",
    "updated_at",
    "stopped_at",
    "started_at",
    "healthy_at",
    "released_at",
    "ended_at",
)


@st.composite
def restarts(draw: st.DrawFn, number: int) -> MachineRestart:
    return a_restart(
        number,
        None,
        state=draw(st.sampled_from(RestartState)),
        wave=draw(st.integers(0, 4)),
        region=draw(st.sampled_from(["fra", "iad", "a long region"])),
        process_group=draw(st.sampled_from(["app", "worker", ""])),
        replaced_by=draw(st.sampled_from([None, "clone"])),
        note=draw(st.sampled_from(["", "rehearsal for app", "it died " * 30, "zu groß 機械"])),
        **{name: draw(st.none() | SECONDS) for name in TIMES},
    )


@st.composite
def views(draw: st.DrawFn) -> RolloutView:
    policy = RolloutPolicy(
        strategy=draw(st.sampled_from(Strategy)),
        canary=draw(st.integers(0, 3)),
        soak=draw(st.sampled_from([timedelta(0), timedelta(seconds=30)])),
        drain=draw(st.sampled_from([timedelta(0), timedelta(seconds=10)])),
    )
    rollout = a_rollout(draw(st.sampled_from(RolloutState)), policy=policy)
    machines = tuple(draw(restarts(number)) for number in range(draw(st.integers(0, 6))))
    return RolloutView(rollout, machines, (a_rotation(),), draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(views(), st.integers(1, 240), st.booleans(), st.none() | st.integers(1, 20))
def test_any_record_draws_at_any_width(
    view: RolloutView, width: int, ascii_only: bool, most_lines: int | None
) -> None:
    lines = draw_rollout(view, after(50), width, ascii_only=ascii_only, most_lines=most_lines)
    lines += record_lines(view, after(50), width, ascii_only=ascii_only)
    assert all(line.cell_len <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)
    plain(record_data(view, after(50)))


@settings(max_examples=60, deadline=None)
@given(views(), st.integers(1, 200))
def test_phases_never_overlap_and_the_scale_never_turns_back(
    view: RolloutView, columns: int
) -> None:
    now = after(200_000)
    soaks = soak_ends(view.rollout, view.restarts, repairing=view.repairing)
    bars = [spans_of(r, view.rollout, now, soaks.get(r.machine_id)) for r in view.restarts]
    for spans in bars:
        assert all(a.end == b.begin for a, b in pairwise(spans))
        assert all(span.begin < span.end for span in spans)
    scale = scale_of(bars, view.rollout.started_at, columns)
    assert scale.columns <= columns
    instants = sorted(at for spans in bars for span in spans for at in (span.begin, span.end))
    places = [scale.column(at) for at in instants]
    assert places == sorted(places)
    assert all(0 <= place < scale.columns for place in places)
    middles = [scale.middle(column) for column in range(scale.columns)]
    assert middles == sorted(middles)
