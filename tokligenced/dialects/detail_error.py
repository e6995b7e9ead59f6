"""The errors of services built with FastAPI, as Jina's are: `detail` is a text, or a list of complaints.

https://fastapi.tiangolo.com/tutorial/handling-errors/
"""

import msgspec
from msgspec import Struct

from tokligenced.dialects import chat_answers
from tokligenced.dialects.wire_error import UNREADABLE, WireError


class _Complaint(Struct):
    msg: str = ""
    loc: list[str | int] = []


class _Complaints(Struct):
    detail: list[_Complaint]


_read_complaints = msgspec.json.Decoder(_Complaints)


def read_error(body: bytes) -> WireError:
    """Read an error body. Empty where it can't be read."""
    try:
        complaints = _read_complaints.decode(body).detail
    except UNREADABLE:
        return chat_answers.read_error(body)
    # The first part of a place says that it is in the body.
    places = [".".join(map(str, each.loc[1:])) for each in complaints]
    lines = [
        f"{place}: {each.msg}" if place else each.msg for place, each in zip(places, complaints, strict=True)
    ]
    return WireError(message="; ".join(lines), param=next(filter(None, places), None))
