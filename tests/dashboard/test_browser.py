"""The first day in a real browser: Debian's Chromium."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright

from tests.dashboard.building import PASSWORD, Building

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed")


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        # Tests run as root in containers, where Chromium's sandbox can't.
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            java_script_enabled=request.param, viewport={"width": 390, "height": 844}
        )
        context.set_default_timeout(10_000)
        yield await context.new_page()
        await browser.close()


async def test_first_day_in_a_browser(building: Building, page: Page) -> None:
    """With and without scripts somebody signs up, makes a key, calls with it and sees the call."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    await page.goto(f"{building.url}/")
    await page.click("text=Create your account")
    await page.fill("#email", "day@example.com")
    await page.fill("#password", PASSWORD)
    await page.click("main button")
    await page.fill("#name", "laptop")
    await page.click("text=Make the key")
    key = await page.text_content(".code code")
    answer = await page.request.post(
        f"{building.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {key}"},
        data={"model": "demo-chat", "messages": [{"role": "user", "content": "Hello"}]},
    )
    assert answer.ok
    for place in ("", "/keys", "/usage", "/requests", "/billing", "/settings"):
        response = await page.goto(f"{building.url}/account{place}")
        assert response is not None
        assert response.ok
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.goto(f"{building.url}/account/requests")
    await page.click("tbody a")
    assert "Charged, rounded up once" in (await page.text_content("main") or "")
    await page.click("text=Sign out")
    assert "You are signed out." in (await page.text_content("main") or "")
    assert complaints == []
