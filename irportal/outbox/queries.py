"""What monitors read at /metrics. Everything is counted in the database, so any web process tells the same.

Parts above add their own measures with `on_scrape`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from django.db.models import Count
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from irportal.outbox.models import Attempt, Channel, Delivery, Pulse

Measure = Callable[[datetime], Iterable[Metric]]
_measures: list[Measure] = []


def on_scrape(measure: Measure) -> Measure:
    """Have `measure(now)` add its metrics to every answer. Names begin with `portal_`; durations are in seconds."""
    if measure not in _measures:
        _measures.append(measure)
    return measure


def metrics(now: datetime) -> bytes:
    """Every measure at `now` in Prometheus' text format, version 1.0.0. No address, name or text is among them."""

    class Now(Collector):
        def collect(self) -> Iterator[Metric]:
            for measure in _measures:
                yield from measure(now)

    registry = CollectorRegistry()
    registry.register(Now())
    return generate_latest(registry)


def gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    """One gauge with one label: `values` by the label's value."""
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


@on_scrape
def queue(now: datetime) -> Iterator[Metric]:
    """Depth by state, the oldest due delivery, the engine's pulse and the transports."""
    depth = dict.fromkeys(Delivery.State.values, 0) | dict(
        Delivery.objects.order_by().values_list("state").annotate(Count("pk"))
    )
    yield gauge("portal_deliveries", "Messages by state", "state", depth)
    health = Pulse.objects.health(now)
    yield GaugeMetricFamily(
        "portal_oldest_due_seconds", "How long the oldest due delivery waits", health["oldest_due_seconds"]
    )
    if health["pulse_age_seconds"] is not None:
        yield GaugeMetricFamily(
            "portal_tick_lag_seconds", "Time since the engine's last turn", health["pulse_age_seconds"]
        )
    broken = {row.name: float(bool(row.fail_streak)) for row in Channel.objects.all()}
    yield gauge("portal_channel_broken", "1 while a transport does not work", "channel", broken)


@on_scrape
def sends(now: datetime) -> Iterator[Metric]:
    """Finished tries by outcome and by the relay's code."""
    family = CounterMetricFamily("portal_attempts", "Finished tries to send", labels=["outcome", "code"])
    rows = Attempt.objects.exclude(finished_at=None).order_by().values_list("outcome", "code").annotate(Count("pk"))
    for outcome, code, count in rows:
        family.add_metric([outcome, str(code or "")], count)
    yield family
