"""The record of a rollout in words and figures: what it was about, and every machine's times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from rotator.cli.drawing import draw_rollout, in_order
from rotator.cli.lines import wrapped_lines
from rotator.cli.policies import care_text, failure_text, strategy_text
from rotator.cli.rollout_view import RolloutView, headline, standing_lines
from rotator.cli.text import canvas_of, console, elapsed, moment, plain, show_lines
from rotator.cli.timeline import soak_ends, spans_of, worked_on
from rotator.domain.rotation import MachineRestart, RolloutState

if TYPE_CHECKING:
    from rich.text import Text

_TIMES = (
    ("admitted", "admitted_at"),
    ("leased", "leased_at"),
    ("drained", "drained_at"),
    ("updated", "updated_at"),
    ("stopped", "stopped_at"),
    ("started", "started_at"),
    ("healthy", "healthy_at"),
    ("released", "released_at"),
)
_LABEL_WIDTH = 11
_ID_WIDTH = 14


def record_lines(
    view: RolloutView, now: datetime, width: int, *, ascii_only: bool = False
) -> list[Text]:
    """The whole record, no line wider than `width`."""
    lines = about_lines(view, now, width, ascii_only=ascii_only)
    lines += draw_rollout(view, now, width, ascii_only=ascii_only)
    worked = in_order([each for each in view.restarts if worked_on(each)])
    if worked:
        began = moment(view.rollout.started_at)
        lines += wrapped_lines(f"times after the begin at {began}", width, style="bold")
        lines += wrapped_lines("\n".join(_times(view, worked)), width, ascii_only=ascii_only)
        lines += wrapped_lines("instances, and the secrets version", width, style="bold")
        lines += wrapped_lines("\n".join(_instances(worked)), width, ascii_only=ascii_only)
    return lines


def about_lines(
    view: RolloutView, now: datetime, width: int, *, ascii_only: bool = False
) -> list[Text]:
    """What the rollout is about and how it stands."""
    lines = wrapped_lines(headline(view, now), width, style="bold", fold=True)
    for label, text in _about(view):
        lines += wrapped_lines(
            text,
            width,
            label=f"  {label}".ljust(_LABEL_WIDTH + 2),
            ascii_only=ascii_only,
            fold=True,
        )
    return lines


def _about(view: RolloutView) -> Iterator[tuple[str, str]]:
    rollout, policy = view.rollout, view.rollout.policy
    for line in standing_lines(view):
        label, _, text = line.partition(": ")
        yield (label, text) if text else ("now", line)
    for rotation in view.served:
        why = f": {rotation.reason}" if rotation.reason else ""
        state = rotation.state.value.replace("_", " ")
        yield "serves", f"rotation {rotation.id} of {rotation.credential_name}, {state}{why}"
    yield "brings", f"secrets version {rollout.secrets_version}{_release(view)}"
    yield "strategy", strategy_text(policy, repairing=view.repairing)
    yield "care", care_text(policy, repairing=view.repairing)
    yield "on failure", failure_text(policy, repairing=view.repairing)
    ended = f", ended {moment(rollout.ended_at)}" if rollout.ended_at else ""
    waves = "1 wave" if rollout.waves == 1 else f"{rollout.waves} waves"
    yield "began", f"{moment(rollout.started_at)}{ended}, {waves}"


def _release(view: RolloutView) -> str:
    rollout = view.rollout
    if rollout.release_id is not None:
        return f", as release v{rollout.release_version} ({rollout.release_id})"
    if not rollout.policy.release:
        return ", without a release (policy)"
    return ", without a release" if rollout.state is not RolloutState.RUNNING else ""


def _times(view: RolloutView, worked: list[MachineRestart]) -> Iterator[str]:
    yield "machine".ljust(_ID_WIDTH) + _columns([name for name, _ in _TIMES])
    for each in worked:
        cells = [_offset(getattr(each, name), view.rollout.started_at) for _, name in _TIMES]
        yield each.machine_id.ljust(_ID_WIDTH) + _columns(cells)


def _columns(cells: list[str]) -> str:
    return "".join(cell.rjust(8) for cell in cells[:-1]) + cells[-1].rjust(9)


def _offset(at: datetime | None, begin: datetime) -> str:
    if at is None:
        return "-"
    return f"-{elapsed(begin - at)}" if at < begin else elapsed(at - begin)


def _instances(worked: list[MachineRestart]) -> Iterator[str]:
    yield f"{'machine':<14} wave {'before':<26} {'after':<26} holds"
    for each in worked:
        wave = str(each.wave) if each.wave else "-"
        holds = f"v{each.secrets_version}" if each.secrets_version is not None else "-"
        after = each.new_instance_id or "-"
        yield f"{each.machine_id:<14} {wave:<4} {each.old_instance_id:<26} {after:<26} {holds}"


def record_data(view: RolloutView, now: datetime) -> dict[str, object]:
    """The whole record for scripts."""
    soaks = soak_ends(view.rollout, view.restarts, repairing=view.repairing)
    machines = []
    for each in view.restarts:
        spans = spans_of(each, view.rollout, now, soaks.get(each.machine_id))
        data = plain(each)
        assert isinstance(data, dict)
        machines.append(data | {"phases": spans})
    return {
        "rollout": view.rollout,
        "kind": view.kind,
        "machines": machines,
        "rotations": [
            {
                "id": each.id,
                "credential": each.credential_name,
                "state": each.state,
                "reason": each.reason,
                "actor": str(each.actor),
            }
            for each in view.served
        ],
        "waits": view.waits,
    }


def show_record(view: RolloutView, now: datetime) -> None:
    """Print the record as wide as the output is."""
    canvas = canvas_of(console())
    show_lines(record_lines(view, now, canvas.width, ascii_only=canvas.ascii_only))
