"""Bad requests: each gets the contract's error, and nothing is lost or sent."""

import asyncio
import json
from dataclasses import replace

import pytest

from tests.api.conftest import Gateway
from tests.api.test_chat_calls import ERROR_FIELDS, REQUEST, assert_error
from tests.fakes import FakeUpstream

INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model":"gpt-4o","model":"x","messages":[{}]}', "invalid_json", None),
        (b'{"messages":[{}]}', "missing_required_parameter", "model"),
        (b'{"model":"gpt-4o"}', "missing_required_parameter", "messages"),
        (b'{"model":7,"messages":[{}]}', "invalid_value", "model"),
        (b'{"model":"gpt-4o","messages":"hi"}', "invalid_value", "messages"),
    ],
)
async def test_a_bad_body_is_400(
    gateway: Gateway, upstream: FakeUpstream, data: bytes, code: str, param: str | None
) -> None:
    """A body that can't be served is refused by name, and no upstream hears of it."""
    async with gateway.call(data=data, headers=with_key(gateway)) as response:
        assert (await assert_error(response, 400, INVALID, code))["param"] == param
    assert upstream.received == []


def with_key(gateway: Gateway, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json", **headers}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGs6",
        "Bearer tk-short",
        "Bearer sk-" + "a" * 36,
        "tk-" + "a" * 36,
    ],
)
async def test_a_key_that_is_none_is_401(gateway: Gateway, authorization: str | None) -> None:
    """Whatever is no good key is 401 in one shape."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with gateway.call(json=REQUEST, headers=headers) as response:
        assert response.status == 401
        found = json.loads(await response.read())["error"]
    assert found["type"] == "authentication_error"
    assert found["code"] in ("missing_api_key", "invalid_api_key")
    assert await gateway.rows() == []


async def test_a_revoked_key_is_refused_at_once_on_an_open_connection(gateway: Gateway) -> None:
    """Revoking takes effect for the very next request."""
    directory = gateway.assembly.directory
    async with gateway.get("/v1/key") as response:
        shown = await response.json()
        assert shown["limits"]["requests_per_minute"] == 1000
    await directory.revoke_key(shown["id"], actor="test")
    async with gateway.get("/v1/key") as response:
        await assert_error(response, 401, "authentication_error", "key_revoked")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_says_so_in_json(
    gateway: Gateway, method: str, path: str, status: int, code: str
) -> None:
    """Unknown paths and methods are JSON errors too."""
    async with gateway.http.request(method, gateway.url + path) as response:
        assert response.status == status
        assert json.loads(await response.read())["error"]["code"] == code


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
    ],
)
async def test_what_is_not_plain_json_is_415(gateway: Gateway, headers: dict[str, str]) -> None:
    """Compressed bodies and other media types are refused without being read."""
    async with gateway.call(data=b"x=1", headers=with_key(gateway) | headers) as response:
        await assert_error(response, 415, INVALID, "unsupported_media_type")


async def raw(
    gateway: Gateway, head: str, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.key}", head]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    return reader, writer


async def test_a_huge_body_is_refused_unread(gateway: Gateway) -> None:
    """Five announced gigabytes are 413 before a byte of them is sent."""
    reader, writer = await raw(gateway, "Content-Length: 5000000000\r\nContent-Type: application/json")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    assert b"payload_too_large" in await reader.read()
    writer.close()


async def test_a_body_without_length_is_cut_at_the_limit(gateway: Gateway) -> None:
    """A chunked body past the limit is 413, however little was announced."""
    reader, writer = await raw(gateway, "Transfer-Encoding: chunked\r\nContent-Type: application/json")
    for _ in range(9):
        writer.write(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_dripping_body_is_408(gateway: Gateway) -> None:
    """A body that does not arrive in its time is 408, and the connection closes."""
    reader, writer = await raw(gateway, "Content-Length: 100\r\nContent-Type: application/json", b'{"model"')
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"request_timeout" in answer
    writer.close()


async def test_expect_is_answered_before_the_body(gateway: Gateway) -> None:
    """A client that asks first hears 100 for a good head, and 413 at once for one too large."""
    reader, writer = await raw(gateway, "Content-Length: 2\r\nExpect: 100-continue")
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    writer.write(b"{}")
    await reader.readline()
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    reader, writer = await raw(gateway, "Content-Length: 5000000000\r\nExpect: 100-continue")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


@pytest.mark.parametrize(
    "head",
    ["Content-Length: +4", "Content-Length: 1\r\nContent-Length: 2", "Bad\x00Header: 1", "bare\nfeed: 1"],
)
async def test_malformed_http_is_not_repeated(
    gateway: Gateway, capfd: pytest.CaptureFixture[str], head: str
) -> None:
    """A request that is no HTTP is 400 in the one shape and closed; its bytes are in no answer and no log."""
    reader, writer = await raw(gateway, head)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"\r\nServer: tokligenced\r\n" in answer
    found = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (set(found), found["type"], found["code"]) == (ERROR_FIELDS, INVALID, "invalid_value")
    logged = "".join(capfd.readouterr())
    assert "request.malformed" in logged
    assert "Traceback" not in logged
    for text in (gateway.key, head):
        assert text not in logged + answer.decode()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /healthz", 400),
        ("GET /nothing", 400),
        ("GET /v1/models", 400),
        ("CONNECT x:443 HTTP/1.1\r\nHost: x", 404),
        ("OPTIONS * HTTP/1.1\r\nHost: x", 404),
    ],
)
async def test_other_ways_to_ask_are_answered_in_json(gateway: Gateway, line: str, status: int) -> None:
    """HTTP/0.9, and targets that are no paths, get an error in the one shape and a closed connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(line.encode() + b"\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert int(head.split()[1]) == status
    assert b"\r\nServer: tokligenced\r\n" in head
    found = json.loads(body)["error"]
    assert (set(found), found["type"]) == (ERROR_FIELDS, INVALID)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/realtime", "/v1/messages"])
async def test_websockets_are_refused_at_once(gateway: Gateway, path: str) -> None:
    """A client that asks for a WebSocket is told 426, which makes it ask by HTTP."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    async with gateway.get(path, headers=with_key(gateway, **headers)) as response:
        assert response.status == 426
        assert (await response.json())["error"]["code"] == "websocket_unsupported"


async def test_bodies_still_arriving_are_bounded_by_the_concurrency(gateway: Gateway) -> None:
    """A key may have as many bodies on their way as calls at a time; one more is 429 until one has come."""
    small = replace(gateway, key=await gateway.new_key(concurrency=1))
    asking = "Content-Length: 2\r\nExpect: 100-continue"
    reader, writer = await raw(small, asking)
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    refused, refused_writer = await raw(small, asking)
    answer = await refused.readuntil(b"}}")
    assert b"HTTP/1.1 429" in answer
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert b'"code":"concurrency"' in answer
    writer.write(b"{}")
    assert b"missing_required_parameter" in await reader.readuntil(b"}}")
    other, other_writer = await raw(small, asking, b"{}")
    assert b"missing_required_parameter" in await other.readuntil(b"}}")
    for each in (writer, refused_writer, other_writer):
        each.close()


async def test_models_with_prices(gateway: Gateway) -> None:
    """The list holds what this key may use, with exact prices per token; ids may hold slashes."""
    async with gateway.get("/v1/models") as response:
        listed = (await response.json())["data"]
    assert [model["id"] for model in listed] == ["gpt-4o", "team/two", "unreachable"]
    assert listed[0]["pricing"]["prompt"] == "0.0000025"
    assert listed[0]["pricing"]["completion"] == "0.00001"
    assert listed[2]["pricing"]["prompt"] == "0"
    async with gateway.get("/v1/models/team/two") as response:
        assert await response.json() == listed[1]
    async with gateway.get("/v1/models/gpt") as response:
        assert (await response.json())["id"] == "gpt-4o"
    async with gateway.get("/v1/models/nope") as response:
        await assert_error(response, 404, INVALID, "model_not_found")
    headers = {"Authorization": f"Bearer {await gateway.new_key(models=frozenset({'gpt'}))}"}
    async with gateway.get("/v1/models", headers=headers) as response:
        assert [model["id"] for model in (await response.json())["data"]] == ["gpt-4o"]


async def test_providers_without_addresses(gateway: Gateway) -> None:
    """Providers are named with what they serve, never with an address or a secret."""
    async with gateway.get("/v1/providers") as response:
        text = await response.text()
    assert "127.0.0.1" not in text
    assert "sk-" not in text
    assert {item["name"]: item["models"] for item in json.loads(text)["data"]} == {
        "fake": ["gpt-4o", "team/two"],
        "second": ["team/two"],
        "nowhere": ["unreachable"],
    }


async def test_liveness_needs_no_key(gateway: Gateway) -> None:
    """The liveness probe answers without a key."""
    async with gateway.http.get(gateway.url + "/healthz") as response:
        assert response.status == 200


async def test_head_has_no_body(gateway: Gateway) -> None:
    """HEAD is answered with the head alone, so that the next answer on the connection is the next one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    for method in ("HEAD", "GET"):
        head = [f"{method} /v1/models HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.key}", "", ""]
        writer.write("\r\n".join(head).encode())
    first = await reader.readuntil(b"\r\n\r\n")
    second = await reader.readuntil(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200")
    assert second.startswith(b"HTTP/1.1 200")
    writer.close()
