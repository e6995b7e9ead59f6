"""Where a request comes from, and the cookie that says whose it is."""

from urllib.parse import urlsplit

from aiohttp import web

_LIFE = 90 * 86_400  # seconds, as a session at most lasts

# Scripts, styles and pictures come from this server alone, and never from the page itself.
HEADERS = {
    "Server": "tokligenced",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer` browsers would send `Origin: null` with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def same_origin(request: web.Request, public_url: str) -> bool:
    """Whether a form was sent by a page of ours, by what the browser says of it.

    https://developer.mozilla.org/en-US/docs/Glossary/Fetch_metadata_request_header; over plain HTTP browsers
    send only Origin, which must then be the host that was asked, or the public one.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    said = urlsplit(origin)
    public = urlsplit(public_url)
    if (said.scheme, said.netloc) == (public.scheme, public.netloc):
        return True
    return said.scheme in {"http", "https"} and said.netloc == request.headers.get("Host")


def _secure(public_url: str) -> bool:
    return public_url.startswith("https:")


def cookie_name(public_url: str) -> str:
    """Under HTTPS the prefix makes browsers refuse one that another host or plain HTTP has set."""
    return "__Host-tokligenced" if _secure(public_url) else "tokligenced"


def remember(response: web.Response, token: str, public_url: str) -> None:
    """Let the browser keep a session's token."""
    response.set_cookie(
        cookie_name(public_url),
        token,
        max_age=_LIFE,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=_secure(public_url),
    )


def forget(response: web.Response, public_url: str) -> None:
    """Let the browser forget it."""
    response.del_cookie(
        cookie_name(public_url), path="/", httponly=True, samesite="Lax", secure=_secure(public_url)
    )


def place_within(text: str) -> str:
    """A path of this site to go on to; `/account` in the place of anything else."""
    if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable():
        return text
    return "/account"
