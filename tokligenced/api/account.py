"""GET endpoints about the caller's money: what is there, and what one call cost."""

import re

import msgspec
from aiohttp import web

from tokligenced.api.front import Front, whole_answer
from tokligenced.domain import LIST_PRICE, Principal, Usage, decimal_usd
from tokligenced.errors import InvalidRequest
from tokligenced.gateway.operations import timestamp
from tokligenced.gateway.pricing import line_object
from tokligenced.gateway.reports import BookedCall
from tokligenced.gateway.trail import Trail

_CALL_ID = re.compile(r"req_[0-9a-z]{26,32}").fullmatch


async def balance(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """What the caller's payer has, and what this key has spent."""
    there = front.ledger.balance(principal.payer)
    cap = principal.key.spend_cap_nano
    shown = {
        "object": "credits",
        "balance": decimal_usd(there.balance, places=2),
        "held": decimal_usd(there.held, places=2),
        "available": decimal_usd(there.available, places=2),
        "currency": "USD",
        "unlimited": principal.payer.unlimited,
        "key": {
            "spent": decimal_usd(await front.reports.spent(principal.key), places=2),
            "spend_cap": None if cap is None else decimal_usd(cap, places=2),
        },
    }
    return whole_answer(front, request, trail, msgspec.json.encode(shown))


async def generation(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """One call of the caller's payer, with its cost line by line; 404 for another's as for one that isn't."""
    call_id = request.query.get("id")
    if not call_id:
        raise InvalidRequest(
            "missing_required_parameter", "Say which call: ?id=, with its x-request-id.", param="id"
        )
    booked = await front.reports.call(principal.payer.id, call_id) if _CALL_ID(call_id) else None
    if booked is None:
        raise InvalidRequest("not_found", "There is no such call of yours.", param="id", status=404)
    return whole_answer(front, request, trail, msgspec.json.encode(generation_object(booked)))


def generation_object(booked: BookedCall) -> dict[str, object]:
    """A call as the API shows it: money in decimal USD strings, durations in milliseconds."""
    call = booked.outcome
    return {
        "object": "generation",
        "id": call.id,
        "created_at": timestamp(call.started_at),
        "model": call.model,
        "provider": call.provider,
        "upstream_model": call.upstream_model,
        "endpoint": call.endpoint,
        "stream": call.stream,
        "status": call.status,
        "error": call.error,
        "attempts": call.attempts,
        "usage": _usage(call.usage),
        "estimated": call.usage.estimated,
        "cost": decimal_usd(call.cost_nano),
        "held": decimal_usd(call.held_nano),
        "shortfall": decimal_usd(call.shortfall_nano),
        "price_factor": decimal_usd(call.price_millionths, LIST_PRICE),
        "lines": [line_object(line) for line in booked.lines],
        "first_byte_ms": None if call.first_byte is None else round(call.first_byte * 1_000, 3),
        "duration_ms": round(call.duration * 1_000, 3),
    }


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            "audio_tokens": usage.audio_in,
            "image_tokens": usage.image_in,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_out,
        },
    }
