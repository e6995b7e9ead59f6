"""One stage for all recordings of a module."""

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio

from tests.api.whole_gateway import running
from tests.fakes import FakeUpstream
from tests.replay.stage import Stage, settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A gateway in front of a replaying upstream."""
    folder = tmp_path_factory.mktemp("replay")
    async with FakeUpstream() as upstream:
        text = settings(folder, upstream.url)
        async with (
            running(upstream, folder, settings=text) as gateway,
            openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as client,
        ):
            yield Stage(gateway, upstream, client)
