"""What translating costs beside passing through, piece by piece, and that it does not grow with length."""

import subprocess

import msgspec

from tests.bench.exchange_load import SIZES, TRANSLATED, Costs
from tests.bench.report import Figure, Target, figure
from tests.bench.servers import ROOT, BenchFailed, on_server_core, python

TARGET = Target(of="ratio", bound="below", value=2)
_FLAT = Target(of="ratio", bound="below", value=1.2)


def by_itself(rounds: int) -> list[Figure]:
    """CPU a piece in an exchange alone: of chunks, of a tool call's arguments, of a conversation's turns."""
    measured = [_measure() for _ in range(rounds)]
    long = SIZES[-1]
    figures = [
        figure(
            f"{name.title()} to chat, exchange alone, CPU",
            "us/chunk",
            [(costs.text[name][long], costs.text["chat"][long]) for costs in measured],
            TARGET,
        )
        for name in TRANSLATED
    ]
    for kind, unit in (("text", "chunks"), ("arguments", "pieces of arguments"), ("turns", "turns")):
        for name in TRANSLATED:
            of = [getattr(costs, kind)[name] for costs in measured]
            figures += [
                figure(
                    f"{name.title()}, {size:,} {unit}",
                    "us/piece",
                    [(each[size], each[SIZES[0]]) for each in of],
                    _FLAT,
                )
                for size in SIZES[1:]
            ]
    return figures


def _measure() -> Costs:
    with on_server_core():
        done = subprocess.run(python("tests.bench.exchange_load"), cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        raise BenchFailed(f"the exchanges' load ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Costs)
