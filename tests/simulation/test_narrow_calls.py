"""With narrow calls everything goes on, and a header that is taken on the way is worth nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import httpx
from graphql import FieldNode, OperationDefinitionNode, parse

from rotator.domain.rotation import RotationState
from rotator.fly import macaroon as m
from rotator.fly.call import Call
from rotator.fly.client import FlyClient
from rotator.fly.graphql import document
from rotator.fly.narrow_calls import _of_document
from rotator.kinds.registry import builtin_kinds
from rotator.simulator.switches import Switches
from rotator.targets.registry import builtin_targets
from tests.contract.test_graphql_documents import DOCUMENTS
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell

TEXT = """
[credentials.robot]
kind = "deploy-token"
app = "api"
targets = [ { type = "fly-secret", app = "api", name = "FLY_API_TOKEN" } ]
[credentials.office-two]
kind = "wireguard-peer"
region = "fra"
targets = [ { type = "file", path = "FOLDER/wg.conf" } ]
"""


@dataclass(frozen=True)
class Sent:
    """A request that somebody has listened to."""

    at: datetime
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)

    @property
    def lives_until(self) -> datetime:
        (token, *_) = m.permission_tokens(self.headers["authorization"])
        ends = m.expires_at(token)
        assert ends is not None
        return ends


class Listener(httpx.AsyncBaseTransport):
    """Between rotator and Fly."""

    def __init__(self, inner: httpx.AsyncBaseTransport, s: Story) -> None:
        self._inner, self._s, self.sent = inner, s, list[Sent]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = {"authorization": request.headers["authorization"]}
        now = self._s.world.clock.now()
        self.sent.append(Sent(now, request.method, request.url.path, headers))
        return await self._inner.handle_async_request(request)


def listened_to(s: Story) -> Listener:
    """The story's worker, with narrow calls and somebody who listens."""
    parts, transport, unused = s.world.parts(Life())
    world, listener = s.world, Listener(transport, s)
    client = FlyClient(
        "http://fly",
        "http://fly",
        world.token,
        world.clock,
        world.entropy,
        http=listener,
        narrow_calls=True,
    )
    s.parts = replace(
        parts,
        kinds=builtin_kinds(client, world.clock),
        targets=builtin_targets(client),
        fleet=client.fleet,
        releases=client.releases,
        authority=client.authority,
        calls=client.calls,
    )
    s.closing += [client.aclose, unused.aclose]
    return listener


def test_rotations_go_on_and_no_header_outlives_its_minutes_or_fits_another_place() -> None:
    async def story(s: Story) -> None:
        s.world.fly.switches = Switches()
        listener = listened_to(s)
        await s.apply(TEXT.replace("FOLDER", str(s.world.folder)))
        for name in ("robot", "office-two"):
            assert (await s.rotate(name)).state is RotationState.SUCCEEDED
        own = [x for x in listener.sent if not _tries_a_credential(x)]
        assert len({(x.method, x.path) for x in own}) > 15
        assert all(x.lives_until <= x.at + timedelta(minutes=5) for x in own)

        async with httpx.AsyncClient(transport=listener._inner, base_url="http://fly") as http:

            async def replayed(x: Sent, method: str, path: str) -> int:
                await s.world.clock.sleep(4)  # within the rate limits
                body = {"values": {"A": "b"}}
                answer = await http.request(method, path, headers=x.headers, json=body)
                return answer.status_code

            write = next(x for x in own if (x.method, x.path) == ("POST", "/v1/apps/api/secrets"))
            fresh = write.lives_until > s.world.clock.now()
            refused = 403 if fresh else 401
            assert await replayed(write, "POST", "/v1/apps/web/secrets") == refused
            assert await replayed(write, "POST", "/v1/apps/api/machines/x/stop") == refused
            read = next(x for x in reversed(own) if x.method == "GET" and "/apps/api" in x.path)
            assert await replayed(read, "GET", "/v1/apps/api") == 200
            assert await replayed(read, "POST", "/v1/apps/api/secrets") == 403
            assert await replayed(read, "GET", "/v1/apps/web") == 403
            await s.world.clock.sleep(301)
            assert await replayed(read, "GET", "/v1/apps/api") == 401

    tell(story)


def _tries_a_credential(x: Sent) -> bool:
    """Proving asks Fly with the new token itself."""
    (token, *_) = m.permission_tokens(x.headers["authorization"])
    ends = m.expires_at(token)
    return ends is not None and ends > x.at + timedelta(days=1)


def test_a_mutation_may_be_just_what_its_document_makes() -> None:
    for name in DOCUMENTS:
        text = document(name)
        (definition,) = parse(text).definitions
        assert isinstance(definition, OperationDefinitionNode)
        (field_node,) = definition.selection_set.selections
        assert isinstance(field_node, FieldNode)
        call = Call("", "POST", "/graphql", "", "", body={"query": text})
        caveat = _of_document(call)
        if definition.operation.value == "query":
            assert caveat.fields == (m.READ,)
        else:
            (inner,) = caveat.nested
            assert inner.fields == ((field_node.name.value,),)
