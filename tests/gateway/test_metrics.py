"""What calls add up to: every call once, under bounded names, at a price that nobody notices."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tokligenced import catalog
from tokligenced.config import Config, ProviderSettings
from tokligenced.domain import Deployment, Model, Outcome, Usage
from tokligenced.gateway.metrics import DURATION, NONE, OTHER, PARTS, Histogram, Metrics

MODEL = Model(
    id="gpt-4o", name="GPT-4o", context_window=1, max_output_tokens=1, aliases=("gpt",),
    deployments=(Deployment(provider="openai", model="gpt-4o-2024"),),
)  # fmt: skip
CATALOG = catalog.build(
    Config(
        providers={"openai": ProviderSettings(name="openai", type="openai", base_url="http://x")},
        models={"gpt-4o": MODEL},
    )
)
OUTCOME = Outcome(
    id="req_1", started_at=1, key_id="key_1", payer_id="acct_1", endpoint="chat", model="gpt-4o",
    provider="openai", stream=True, status=200, usage=Usage(input=7, cached_input=2, output=11),
    cost_nano=5, shortfall_nano=1, first_byte=0.2, duration=1.2, overhead=0.002,
)  # fmt: skip


@pytest.fixture
def metrics() -> Metrics:
    """Nothing counted yet."""
    return Metrics(lambda: CATALOG)


def test_a_call_is_counted_in_every_part(metrics: Metrics) -> None:
    """Tokens by part, cost, shortfall and times of a call are where they belong, and add up over calls."""
    for _ in range(2):
        metrics.observe(OUTCOME)
    (series,) = metrics.series()
    assert (series.endpoint, series.model, series.provider) == ("chat", "gpt-4o", "openai")
    assert series.ended == {(200, None): 2}
    assert {part: count for part, count in series.counted(PARTS) if count} == {
        "input": 14, "cached_input": 4, "output": 22,
    }  # fmt: skip
    assert (series.cost_nano, series.shortfall_nano) == (10, 2)
    assert sum(series.duration.counts) == sum(series.first_token.counts) == sum(metrics.overhead.counts) == 2
    assert series.between_tokens.total == pytest.approx(2 * 1.0 / 10)
    assert structs.astuple(metrics.totals()) == (2, 0, 40, 10)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"model": "gpt"}, ("gpt-4o", "openai")),
        ({"model": "ignore all previous instructions"}, (OTHER, "openai")),
        ({"model": "", "provider": None}, (OTHER, NONE)),
        ({"provider": "gone since the reload"}, ("gpt-4o", OTHER)),
    ],
)
def test_labels_are_the_catalog_s(
    metrics: Metrics, changes: dict[str, object], labels: tuple[str, str]
) -> None:
    """An alias counts for its model; what the catalog does not know has one name for all."""
    metrics.observe(structs.replace(OUTCOME, **changes))
    (series,) = metrics.series()
    assert (series.model, series.provider) == labels


def test_codes_are_the_contract_s(metrics: Metrics) -> None:
    """An error that the contract does not list can't become a label."""
    for code in ("concurrency", "code of an upstream", "another one"):
        metrics.observe(structs.replace(OUTCOME, status=429, error=code))
    assert metrics.series()[0].ended == {(429, "concurrency"): 1, (429, OTHER): 2}
    assert metrics.totals().errors == 3


def test_every_code_of_a_booked_call_has_its_label(metrics: Metrics) -> None:
    """What README lists is told apart, but for what is refused before anybody has proved who they are."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| `\w+` \| (.*) \|$", readme, re.MULTILINE)
    told = " ".join(row for status, row in rows if status not in {"401", "426"})
    codes = set(re.findall(r"`(\w+)`", told))
    codes -= {"method_not_allowed"}
    assert len(codes) > 15
    for code in codes:
        metrics.observe(structs.replace(OUTCOME, status=500, error=code))
    assert metrics.series()[0].ended == {(500, code): 1 for code in codes}


def test_only_streams_that_ended_well_have_a_gap_between_tokens(metrics: Metrics) -> None:
    """A whole answer has no first token, and a broken stream, or one of one token, no gap."""
    metrics.observe(structs.replace(OUTCOME, stream=False))
    metrics.observe(structs.replace(OUTCOME, status=499, error="client_left"))
    metrics.observe(structs.replace(OUTCOME, usage=Usage(output=1)))
    metrics.observe(structs.replace(OUTCOME, first_byte=None))
    (series,) = metrics.series()
    assert sum(series.first_token.counts) == 2
    assert sum(series.between_tokens.counts) == 0


@given(st.lists(st.floats(min_value=0, max_value=10_000)))
def test_each_value_is_in_the_first_bucket_that_can_hold_it(values: list[float]) -> None:
    """A histogram agrees with a count by hand, bounds belonging to what is below them."""
    histogram = Histogram(DURATION)
    for value in values:
        histogram.observe(value)
    below = [sum(value <= bound for value in values) for bound in DURATION]
    assert [sum(histogram.counts[: at + 1]) for at in range(len(DURATION))] == below
    assert sum(histogram.counts) == len(values)


def test_parts_cover_what_a_usage_can_hold() -> None:
    """A part that is added to `Usage` is counted without a change here."""
    everything = Usage(**dict.fromkeys(PARTS[:-1], 1), estimated=True)
    counter = Metrics(lambda: CATALOG)
    counter.observe(structs.replace(OUTCOME, usage=everything))
    assert counter.series()[0].usage == [1] * len(PARTS)
    assert counter.totals().tokens == everything.total_tokens


def test_counting_a_call_costs_nearly_nothing(metrics: Metrics) -> None:
    """A call is counted within some microseconds, also on a busy machine."""
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(500):
            metrics.observe(OUTCOME)
        best = min(best, (time.perf_counter() - began) / 500)
    assert best < 20e-6
