"""What is counted of requests, as metrics: under OpenTelemetry's names, or under those of Flask's applications."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Sample

from chest.record.row import KNOWN_METHODS
from chest.recorder.directory_status import DirectoryStatus
from chest.recorder.recorder import Recorder
from chest.ring.tally.table import BOUNDS_NS, Series
from chest.ring.tally.tally import OVERFLOW

_SECOND_NS: Final = 1_000_000_000
_LABELS: Final = ("http_request_method", "http_route", "http_response_status_code", "error_type")
_BOUNDS: Final = (*(repr(bound / _SECOND_NS) for bound in BOUNDS_NS), "+Inf")


def request_metrics(series: Iterable[Series]) -> Iterator[Metric]:
    """OpenTelemetry's: one histogram by method, route, status and type of error."""
    named = (each._replace(labels=each.labels if each.labels == OVERFLOW else each.labels[:4]) for each in series)
    name, meaning = (
        "http_server_request_duration_seconds",
        "Duration of HTTP server requests, until their body was complete.",
    )
    yield _histogram(name, meaning, _LABELS, _together(named))


def flask_metrics(series: Iterable[Series]) -> Iterator[Metric]:
    """Those of Flask's applications: a counter by method, endpoint and status, a histogram by method and endpoint."""
    named = [_by_endpoint(each) for each in series]
    counts = CounterMetricFamily("flask_request", "Requests.", labels=("method", "endpoint", "status"))
    for each in _together(named):
        counts.add_metric(each.labels, sum(each.buckets))
    yield counts
    latencies = _together(each._replace(labels=each.labels[:2]) for each in named)
    yield _histogram("flask_request_latency_seconds", "Latency of requests.", ("method", "endpoint"), latencies)


def active_requests(status: DirectoryStatus | None, recorder: Recorder) -> Metric:
    """How many requests are being served, by method and scheme; without both those that no file notes."""
    family = GaugeMetricFamily(
        "http_server_active_requests", "Requests being served.", labels=("http_request_method", "url_scheme")
    )
    served: Counter[tuple[str, str]] = Counter()
    has_notes = False
    for ring in () if status is None else status.rings:
        for method, scheme in ring.in_flight if ring.is_living else ():
            has_notes = True
            if scheme is not None:
                served[method if method in KNOWN_METHODS else "_OTHER", scheme] += 1
    if not has_notes and (unnoted := recorder.stats()["in_flight"]):
        served["", ""] = unnoted
    for labels, count in served.items():
        family.add_metric(labels, count)
    return family


def _by_endpoint(series: Series) -> Series:
    if series.labels == OVERFLOW:
        return series._replace(labels=("_OTHER", "_OTHER", "_OTHER"))
    method, _, status, _, endpoint = series.labels
    return series._replace(labels=(method, endpoint or "unknown", status))


def _together(series: Iterable[Series]) -> Iterable[Series]:
    """Those of equal labels as one."""
    found: dict[tuple[str, ...], Series] = {}
    for each in series:
        known = found.get(each.labels)
        found[each.labels] = each if known is None else known.plus(each)
    return found.values()


def _histogram(name: str, meaning: str, labels: tuple[str, ...], series: Iterable[Series]) -> Metric:
    family = HistogramMetricFamily(name, meaning)
    for each in series:
        # Prometheus takes an empty label for none: those are left out.
        said = zip(labels, each.labels, strict=True) if each.labels != OVERFLOW else [(OVERFLOW[0], "true")]
        family.samples += _samples(name, {label: value for label, value in said if value}, each)
    return family


def _samples(name: str, labels: Mapping[str, str], series: Series) -> Iterator[Sample]:
    exemplar, at = None, -1
    if series.exemplar is not None:
        request_id, time_ns, duration_ns = series.exemplar
        exemplar = Exemplar({"request_id": request_id}, duration_ns / _SECOND_NS, time_ns / _SECOND_NS)
        at = sum(duration_ns > bound for bound in BOUNDS_NS)
    for position, (bound, count) in enumerate(zip(_BOUNDS, accumulate(series.buckets), strict=True)):
        yield Sample(f"{name}_bucket", {**labels, "le": bound}, count, None, exemplar if position == at else None)
    yield Sample(f"{name}_count", dict(labels), sum(series.buckets))
    yield Sample(f"{name}_sum", dict(labels), series.sum_ns / _SECOND_NS)
