"""kill -9 while calls run under idempotency keys: each is charged once, and an answer once given stays."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.torture.audit import broken
from tests.torture.victim import Victim

CYCLES = 6
CALLS = 40
AT_ONCE = 10
REQUEST = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}


class Crowd:
    """Clients that each send one call, under a key of its own, until they have an answer."""

    def __init__(self, victim: Victim, key: str) -> None:
        self._victim = victim
        self._headers = {"Authorization": f"Bearer {key}"}
        self.answers: dict[str, bytes] = {}
        self.cut = 0

    async def send(self, http: aiohttp.ClientSession, name: str) -> bool:
        """Send the call of this key once; whether it was answered with what had been answered before."""
        url = f"http://127.0.0.1:{self._victim.port}/v1/chat/completions"
        headers = self._headers | {"Idempotency-Key": name}
        async with http.post(url, json=REQUEST, headers=headers) as response:
            answer = await response.read()
            assert response.status == 200, answer
            assert self.answers.setdefault(name, answer) == answer
            return "idempotent-replayed" in response.headers

    async def until_killed(self, names: list[str], answered: int) -> None:
        """Send all, some at once, and kill the daemon when so many have their answer."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as http:
            calls = [asyncio.ensure_future(self.send(http, name)) for name in names]
            for number, call in enumerate(asyncio.as_completed(calls)):
                if number == answered:
                    self._victim.kill()
                try:
                    await call
                except aiohttp.ClientError:
                    assert number >= answered
                    self.cut += 1


@pytest.mark.e2e
async def test_kill_9_under_idempotency_keys(tmp_path: Path) -> None:
    """What a client was answered is answered again after the kill; what it was not is free; all pay once."""
    victim = Victim(tmp_path, delays=("15ms", "0s"))
    await victim.start()
    try:
        crowd = Crowd(victim, await victim.new_key("ann", "100"))
        every: list[str] = []
        for cycle in range(CYCLES):
            names = [f"{cycle}-{number}" for number in range(CALLS)]
            every += names
            await crowd.until_killed(names, answered=cycle * CALLS // CYCLES)
            seen = set(crowd.answers)
            await victim.start()
            async with aiohttp.ClientSession() as http:
                for name in every:
                    replayed = await crowd.send(http, name)
                    assert replayed or name not in seen
        assert await victim.verify() == []
    finally:
        victim.kill()
    assert broken(victim.database) == []
    with closing(sqlite3.connect(victim.database)) as database:
        (charges,) = database.execute("SELECT count(*) FROM entries WHERE kind = 'charge'").fetchone()
    assert charges == len(every)
    assert crowd.cut > 0
