"""The Fly client: what it repeats and what not, what it tells, how fast it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.errors import (
    Busy,
    ClaimLost,
    Drift,
    InputError,
    NotAllowed,
    NotFound,
    NotYet,
    OutcomeUnknown,
    Refused,
    RetryLater,
    RotatorError,
    TokenRefused,
    Unavailable,
)
from rotator.domain.machines import Lease, RawConfig
from rotator.domain.secret import Secret
from rotator.fly.auth import check_token, graphql_authorization, machines_authorization
from rotator.fly.client import FlyClient
from rotator.fly.failures import MAX_WISH_SECONDS
from rotator.fly.machine_model import MachineModel
from rotator.fly.transport import ATTEMPTS
from rotator.system import SystemEntropy
from tests.unit.builders import a_machine

Answer = httpx.Response | Exception
MACHINE = {
    "id": "0123456789abcd",
    "state": "started",
    "instance_id": "01HEPA330HZ37A78TK080NAK1M",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "config": {"image": "x"},
}
LEASE = Lease("nonce", datetime(2026, 1, 1, tzinfo=UTC))
LEASED = {"error": "failed_precondition: machine ID x lease currently held by someone, expires at"}
VALUE = "A1b2C3d4" * 8


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.slept = 0.0

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.at += timedelta(seconds=seconds)


class Fly:
    """Answers as scripted, the last one again and again, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.clock = Clock()
        http = httpx.MockTransport(self._answer)
        token = Secret("fm2_lJPECAAA")
        self.client = FlyClient(
            "http://m", "http://g", token, self.clock, SystemEntropy(), http=http
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read(self) -> object:
        """A call that only reads."""
        return await self.client.secrets.secrets("web")

    async def change(self) -> object:
        """A change that must not be repeated blindly."""
        return await self.client.secrets.set_secrets("web", {"KEY": Secret(VALUE)})


def ok(body: object) -> httpx.Response:
    return httpx.Response(200, json=body)


def no(status: int, body: object = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body or {"error": "no"}, headers=headers)


LIST = {"secrets": [{"name": "KEY", "digest": "d"}]}
RESET = httpx.ReadError("reset")
LATE = httpx.ReadTimeout("late")
SHUT = httpx.ConnectError("refused")
PAGE = httpx.Response(200, text="<html>")


@pytest.mark.parametrize(
    "trouble", [RESET, LATE, SHUT, no(500), no(502), no(503), no(504), no(429), no(408), PAGE]
)
async def test_a_read_is_repeated_until_it_goes_through(trouble: Answer) -> None:
    fly = Fly(trouble, trouble, ok(LIST))
    assert await fly.read()
    assert len(fly.requests) == 3


@pytest.mark.parametrize("trouble", [RESET, LATE, no(500), no(503), no(408), PAGE])
async def test_a_change_whose_answer_was_lost_is_not_repeated(trouble: Answer) -> None:
    fly = Fly(trouble)
    with pytest.raises(OutcomeUnknown):
        await fly.change()
    assert len(fly.requests) == 1


@pytest.mark.parametrize("trouble", [SHUT, no(429)])
async def test_a_change_that_surely_had_no_effect_is_repeated(trouble: Answer) -> None:
    fly = Fly(trouble, ok(LIST | {"version": 7}))
    await fly.change()
    assert len(fly.requests) == 2


async def test_repeats_are_bounded_and_then_told_as_unavailable() -> None:
    fly = Fly(no(503))
    with pytest.raises(Unavailable):
        await fly.read()
    assert len(fly.requests) == ATTEMPTS


@pytest.mark.parametrize("wish", ["7", "Thu, 01 Jan 2026 00:00:07 GMT"])
async def test_retry_after_is_honoured_as_a_number_and_as_a_date(wish: str) -> None:
    fly = Fly(no(429, **{"Retry-After": wish}), ok(LIST))
    await fly.read()
    assert fly.clock.slept >= 7


async def test_a_long_retry_after_is_handed_up_instead_of_slept() -> None:
    fly = Fly(no(429, **{"Retry-After": "99999"}))
    with pytest.raises(Unavailable) as told:
        await fly.read()
    assert told.value.after_seconds == MAX_WISH_SECONDS
    assert len(fly.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (no(401), TokenRefused),
        (no(403), NotAllowed),
        (no(404), NotFound),
        (no(400), Refused),
        (no(422), Refused),
        (no(409), Busy),
        (no(409, LEASED), Busy),
        (no(412, LEASED), Busy),
        (no(412, {"error": "failed_precondition: current machine version is x"}), Drift),
        (no(412, {"error": "failed_precondition: secrets version 9 is not available"}), NotYet),
        (no(412, {"error": "failed_precondition: machine getting replaced"}), NotYet),
        (no(412, {"error": "insufficient resources"}), Unavailable),
    ],
)
async def test_each_refusal_says_what_the_caller_can_do(
    answer: httpx.Response, kind: type[RotatorError]
) -> None:
    fly = Fly(answer)
    with pytest.raises(kind) as told:
        await fly.client.fleet.update(
            a_machine(config=RawConfig({})),
            marks={},
            min_secrets_version=1,
            skip_launch=False,
            lease=LEASE,
        )
    assert type(told.value) is kind


async def test_a_wait_that_times_out_is_not_yet() -> None:
    text = "deadline_exceeded: machine failed to reach desired state, started, currently created"
    fly = Fly(no(408, {"error": text}))
    with pytest.raises(NotYet):
        await fly.client.fleet.wait("web", "m", instance_id="i", timeout_seconds=60)
    assert len(fly.requests) == 1


@pytest.mark.parametrize("body", [{"error": f"bad value {VALUE}"}, {"message": f"fm2_{VALUE}"}])
async def test_no_error_carries_a_value_and_each_keeps_flys_request_id(
    body: dict[str, str],
) -> None:
    fly = Fly(no(422, body, **{"fly-request-id": "01REQUEST-fra"}))
    with pytest.raises(Refused) as told:
        await fly.change()
    assert "C3d4A1b2" not in str(told.value) + repr(told.value)
    assert told.value.request_id == "01REQUEST-fra"
    assert told.value.__cause__ is None


async def test_an_answer_without_a_needed_field_is_named_and_not_quoted() -> None:
    fly = Fly(ok({"secrets": [{"digest": VALUE}]}))
    with pytest.raises(RetryLater, match=r"secrets\.0\.name: field required") as told:
        await fly.read()
    assert VALUE not in str(told.value)
    with pytest.raises(OutcomeUnknown, match="version"):
        await Fly(ok(LIST)).change()


async def test_unknown_fields_are_let_pass_and_the_old_name_of_version_is_read() -> None:
    fly = Fly(ok(LIST | {"Version": 9, "new_field": {}}))
    update = await fly.client.secrets.set_secrets("web", {"KEY": None})
    assert update.version == 9


async def graphql_error(code: str | None, *, change: bool) -> Callable[[], object]:
    extensions = {"extensions": {"code": code}} if code else {}
    fly = Fly(ok({"data": {"app": {"id": "x"}}, "errors": [{"message": "no", **extensions}]}))
    if change:
        await fly.client.tokens.create(
            name="n", organization_id="o", profile="deploy", profile_params={}, expiry="1h0m0s"
        )
    await fly.client.organizations.app("web")
    raise AssertionError("an answer with errors was taken for a success")


@pytest.mark.parametrize(
    ("code", "on_read", "on_change"),
    [
        ("UNAUTHORIZED", NotAllowed, NotAllowed),
        ("NOT_FOUND", NotFound, NotFound),
        ("UNPROCESSABLE", Refused, Refused),
        ("INVALID_ARGUMENTS", Refused, Refused),
        ("SERVER_ERROR", Unavailable, OutcomeUnknown),
        ("MAINTENANCE", Unavailable, OutcomeUnknown),
        ("NEVER_HEARD_OF", Unavailable, OutcomeUnknown),
        (None, Refused, Refused),
    ],
)
async def test_graphql_errors_decide_also_with_status_200_and_partial_data(
    code: str | None, on_read: type[RotatorError], on_change: type[RotatorError]
) -> None:
    with pytest.raises(on_read):
        await graphql_error(code, change=False)
    with pytest.raises(on_change):
        await graphql_error(code, change=True)


async def test_an_app_that_is_null_without_an_error_is_not_found() -> None:
    with pytest.raises(NotFound):
        await Fly(ok({"data": {"app": None}})).client.organizations.app("web")


async def test_peers_are_read_page_by_page() -> None:
    def page(name: str, cursor: str | None) -> httpx.Response:
        node = {"name": name, "pubkey": "k", "region": "fra", "peerip": "fdaa::1"}
        info = {"hasNextPage": cursor is not None, "endCursor": cursor}
        peers = {"nodes": [node, None], "pageInfo": info}
        return ok({"data": {"organization": {"wireGuardPeers": peers}}})

    fly = Fly(page("one", "next"), page("two", None))
    assert [peer.name for peer in await fly.client.wireguard.peers("acme")] == ["one", "two"]
    assert json.loads(fly.requests[1].content)["variables"]["after"] == "next"


def test_each_api_gets_the_authorization_that_it_takes() -> None:
    both = Secret("FlyV1 fm2_a,fm2_b,fo1_c")
    assert machines_authorization(both).reveal() == "FlyV1 fm2_a,fm2_b"
    assert graphql_authorization(both).reveal() == "FlyV1 fm2_a,fm2_b,fo1_c"
    assert machines_authorization(Secret("Bearer fo1_c")).reveal() == "Bearer fo1_c"


@pytest.mark.parametrize("text", ["", "FlyV1 ", "fm2_cut!", "fo1_with\nline"])
def test_what_is_no_whole_token_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InputError) as told:
        check_token(Secret(text))
    assert "cut!" not in str(told.value)


async def test_calls_on_one_machine_keep_to_flys_rate_and_other_machines_are_not_slowed() -> None:
    fly = Fly(ok({"ok": True}))
    for number in range(6):
        await fly.client.fleet.stop("web", f"machine-{number}", LEASE)
    assert fly.clock.slept == 0
    for _ in range(6):
        await fly.client.fleet.stop("web", "one-machine", LEASE)
    assert fly.clock.slept == pytest.approx(3)


async def test_calls_are_counted_by_scope_with_the_tasks_that_it_starts() -> None:
    fly = Fly(ok(LIST))
    with fly.client.calls.counting() as outer:
        await fly.read()
        with fly.client.calls.counting() as inner:
            async with asyncio.TaskGroup() as group:
                group.create_task(fly.read())
                group.create_task(fly.read())
    await fly.read()
    assert (outer.count, inner.count) == (3, 2)


async def test_no_call_goes_out_under_a_right_that_has_run_out() -> None:
    fly = Fly(ok(LIST))
    rights = iter((True, False))
    with fly.client.calls.only_while(lambda: next(rights)):
        await fly.read()
        with pytest.raises(ClaimLost):
            await fly.read()
    await fly.read()
    assert len(fly.requests) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
configs = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda key: key != "metadata"), json_values, max_size=6
)


@given(configs, st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3))
def test_a_config_survives_an_update_value_for_value(
    config: dict[str, object], metadata: dict[str, str]
) -> None:
    whole = config | {"metadata": metadata}
    fly = Fly(ok(MACHINE))
    machine = MachineModel.model_validate(MACHINE | {"config": whole}).plain("web")
    update = fly.client.fleet.update(
        machine, marks={"mark": "1"}, min_secrets_version=3, skip_launch=True, lease=LEASE
    )
    asyncio.run(update)
    sent = json.loads(fly.requests[0].content)
    assert sent["config"] == config | {"metadata": metadata | {"mark": "1"}}
    assert (sent["min_secrets_version"], sent["skip_launch"]) == (3, True)
    assert sent["current_version"] == MACHINE["instance_id"]


@pytest.mark.parametrize(
    ("config", "reads"),
    [
        ({}, None),
        ({"processes": [{"cmd": ["x"]}]}, None),
        ({"processes": [{"ignore_app_secrets": True, "secrets": [{"name": "A"}]}]}, {"A"}),
        ({"containers": [{"secrets": [{"env_var": "B"}]}, {"secrets": []}]}, {"B"}),
        ({"containers": [{"name": "all"}]}, None),
        (
            {"containers": [{"secrets": []}], "files": [{"guest_path": "/x", "secret_name": "C"}]},
            {"C"},
        ),
    ],
)
def test_which_secrets_reach_a_machine_is_read_from_its_config(
    config: dict[str, object], reads: set[str] | None
) -> None:
    machine = MachineModel.model_validate(MACHINE | {"config": config}).plain("web")
    assert machine.reads == (None if reads is None else frozenset(reads))


def test_a_machine_on_a_lost_host_has_no_config_to_update_with() -> None:
    lost = MACHINE | {"config": None, "incomplete_config": {}, "host_status": "unreachable"}
    assert not MachineModel.model_validate(lost).plain("web").reachable


@pytest.mark.parametrize("nested", [True, False])
def test_an_exit_is_read_in_both_forms_that_fly_writes(nested: bool) -> None:
    exit_event = {"exit_event": {"exit_code": 1, "restarting": True, "requested_stop": False}}
    request = {"MonitorEvent": exit_event} if nested else exit_event
    event = {
        "type": "exit",
        "timestamp": 1_700_000_000_000,
        "request": request | {"restart_count": 3},
    }
    machine = MachineModel.model_validate(MACHINE | {"events": [event]}).plain("web")
    assert machine.crash_looping


async def test_a_lease_is_read_bare_and_wrapped_and_its_time_is_sent_both_ways() -> None:
    data = {"nonce": "n", "expires_at": 1_700_000_000}
    for body in (data, {"status": "success", "data": data}):
        fly = Fly(httpx.Response(201, json=body))
        lease = await fly.client.fleet.acquire_lease(
            "web", "m", ttl_seconds=30, description="rotator"
        )
        assert lease.nonce == "n"
        assert "nonce='n'" not in repr(lease)
        (request,) = fly.requests
        assert request.url.params["ttl"] == "30"
        assert json.loads(request.content) == {"ttl": 30, "description": "rotator"}


async def test_releasing_a_lease_that_is_gone_is_success() -> None:
    fly = Fly(no(404, {"error": "lease not found"}))
    await fly.client.fleet.release_lease("web", "m", LEASE)


async def test_destroying_what_is_gone_already_is_success_whatever_fly_calls_it() -> None:
    gone = no(412, {"error": "failed_precondition: machine is destroyed"})
    for seen in (ok(MACHINE | {"state": "destroyed"}), no(404)):
        await Fly(gone, seen).client.fleet.destroy("web", "m", None)
    with pytest.raises(Drift):
        await Fly(gone, ok(MACHINE)).client.fleet.destroy("web", "m", None)
