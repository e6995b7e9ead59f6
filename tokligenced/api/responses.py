"""/v1/responses: answers, and what the gateway keeps of them where the operator wants that."""

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from tokligenced.api.conversations import read_call, serve
from tokligenced.api.front import Front, whole_answer
from tokligenced.dialects import clients, responses_calls, sse
from tokligenced.domain import Call, Key, Principal
from tokligenced.errors import InvalidRequest
from tokligenced.gateway.responses import ResponseStore
from tokligenced.gateway.trail import Trail

# The events that hold a whole answer.
_ENDS = frozenset({"response.completed", "response.incomplete"})


class _Response(Struct):
    id: str = ""
    status: str = ""
    output: Raw = Raw(b"[]")


class _Event(Struct):
    type: str = ""
    response: Raw = Raw(b"")


_read_response = msgspec.json.Decoder(_Response)
_read_event = msgspec.json.Decoder(_Event)


class _Keeper:
    """Finds the complete response in what a client gets, and has it kept."""

    def __init__(self, store: ResponseStore, key: Key, call: Call) -> None:
        self._store = store
        self._key = key
        self._call = call

    def watch(self, sent: bytes) -> None:
        """Look at a whole answer, or at some events of a stream."""
        if not self._call.stream:
            self._keep(sent)
        elif any(end.encode() in sent for end in _ENDS):
            for data in sse.data_in(sent):
                event = _read_event.decode(data)
                if event.type in _ENDS:
                    self._keep(bytes(event.response))

    def _keep(self, response: bytes) -> None:
        found = _read_response.decode(response)
        if found.id and found.status in {"completed", "incomplete"}:
            self._store.save(self._key, found.id, response, self._call.member("input") or b"[]")


async def create(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Serve a response, going on from a kept one where the client names it."""
    store = front.responses
    call = await read_call(front, request, principal, trail, clients.RESPONSES)
    if not store.keeps:
        _refuse_what_needs_a_store(call)
    elif (earlier := responses_calls.previous_response(call)) is not None:
        kept = await store.find(principal.key, earlier)
        output = bytes(_read_response.decode(kept.response).output)
        call = responses_calls.following(call, kept.input, output)
    keeps = store.keeps and responses_calls.wants_storing(call) is not False
    watch = _Keeper(store, principal.key, call).watch if keeps else None
    passage = front.relay.open(call, principal, trail)
    return await serve(front, request, trail, clients.RESPONSES, passage, watch=watch)


def _refuse_what_needs_a_store(call: Call) -> None:
    for name, asked in (
        ("previous_response_id", responses_calls.previous_response(call) is not None),
        ("store", responses_calls.wants_storing(call) is True),
    ):
        if asked:
            raise InvalidRequest(
                "unsupported_parameter", f"'{name}': this gateway keeps no responses.", param=name
            )


async def retrieve(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """A kept response; 404 for one that is not there or another key's."""
    kept = await front.responses.find(principal.key, request.match_info["id"])
    return whole_answer(front, request, trail, kept.response)


async def delete(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Forget a kept response."""
    response_id = request.match_info["id"]
    await front.responses.delete(principal.key, response_id)
    gone = {"id": response_id, "object": "response", "deleted": True}
    return whole_answer(front, request, trail, msgspec.json.encode(gone))
