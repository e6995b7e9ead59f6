"""Pages to HTML: the templates, their filters, and the files beside them under lasting addresses."""

import dataclasses
import hashlib
from datetime import UTC, datetime
from importlib import resources

import jinja2
from aiohttp import web

from tokligenced.dashboard.pages import Frame, Page
from tokligenced.dashboard.security import HEADERS
from tokligenced.domain import NANO_PER_USD, PICO_PER_USD, decimal_usd

_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


def usd(nano: int) -> str:
    """Nano-USD for people: exact, with two decimal places or more."""
    text = decimal_usd(abs(nano), NANO_PER_USD, places=2)
    whole, _, rest = text.partition(".")
    return f"{'-' if nano < 0 else ''}${int(whole):,}.{rest}"


def per_million(pico: int) -> str:
    """A price in pico-USD per token as USD per million tokens."""
    return "$" + decimal_usd(pico * 1_000_000, PICO_PER_USD, places=2)


def number(value: int) -> str:
    """A count with its thousands parted."""
    return f"{value:,}"


def moment(at: int) -> str:
    """Unix milliseconds as a time in UTC to the second."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(at: int) -> str:
    """Unix milliseconds as a date in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def duration(seconds: float | None) -> str:
    """A duration as people say it."""
    if seconds is None:
        return "none"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


class Look:
    """How pages look: made once, with the addresses of its files."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        assets = {}
        for file in resources.files("tokligenced.dashboard").joinpath("static").iterdir():
            stem, _, kind = file.name.rpartition(".")
            content = file.read_bytes()
            name = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
            self.files[name] = content, _KINDS[kind]
            assets[file.name] = f"/static/{name}"
        self.environment = jinja2.Environment(
            loader=jinja2.PackageLoader("tokligenced.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.globals["assets"] = assets
        for each in (usd, per_million, number, moment, day, duration):
            self.environment.filters[each.__name__] = each

    def html(self, frame: Frame, page: Page) -> str:
        """A page as text; its template gets the page's fields and `frame`."""
        fields = {each.name: getattr(page, each.name) for each in dataclasses.fields(page)}
        return self.environment.get_template(page.template).render(frame=frame, **fields)

    def answer(self, frame: Frame, page: Page) -> web.Response:
        """A page as an answer."""
        return web.Response(
            text=self.html(frame, page), status=page.status, content_type="text/html", headers=HEADERS
        )

    async def file(self, request: web.Request) -> web.Response:
        """A file by its address, which changes with its content, so that browsers may keep it."""
        found = self.files.get(request.match_info["name"])
        if found is None:
            return web.Response(status=404, text="There is nothing here.\n")
        content, kind = found
        headers = {"Cache-Control": _FOREVER, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)
