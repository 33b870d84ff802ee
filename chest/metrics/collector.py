"""``MetricsCollector`` for a registry of prometheus_client; ``metrics_app``, a WSGI app that answers a scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, get_args

from chest.errors import ChestError, MissingDependencyError, SettingsError
from chest.metrics.recorder_metrics import recorder_metrics
from chest.metrics.request_metrics import active_requests, flask_metrics, request_metrics
from chest.recorder.directory_status import DirectoryStatus, status_of
from chest.recorder.recorder import Recorder
from chest.request.wsgi import WSGIApplication
from chest.ring.tally.gathering import Gathered

try:
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingDependencyError(
        "chest.metrics needs prometheus_client: pip install 'wsgi-chest[prometheus]'"
    ) from error

Names = Literal["opentelemetry", "flask"]
_NOTHING: Final = Gathered([], {}, [])


class MetricsCollector(Collector):
    """Requests, and the recorder itself, of all processes that share the recorder's directory, ended ones included.

    Example::

        prometheus_client.REGISTRY.register(MetricsCollector(recorder))

    :param recorder: one with ``metrics=True``.
    :param names: ``"opentelemetry"``: ``http_server_request_duration_seconds``; ``"flask"``: ``flask_request_total`` and
        ``flask_request_latency_seconds``, by endpoint.
    :raises SettingsError: the recorder does not count, or there are no such names.
    """

    def __init__(self, recorder: Recorder, *, names: Names = "opentelemetry") -> None:
        if not recorder.settings.metrics:
            raise SettingsError("This recorder counts no requests: give it metrics=True, or set CHEST_METRICS=1.")
        if names not in get_args(Names):
            raise SettingsError(f"names={names!r}: expected one of {', '.join(get_args(Names))}")
        self._recorder = recorder
        self._names = names

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that a registry collects nothing when this is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every metric as it is now. Reads files of the recorder's directory.

        :raises ChestError: they cannot be read.
        """
        gathered = self._recorder.counted()
        status = _status_of(self._recorder)
        yield from (flask_metrics if self._names == "flask" else request_metrics)(gathered.series)
        yield active_requests(status, self._recorder)
        yield from recorder_metrics(gathered, status)


def _status_of(recorder: Recorder) -> DirectoryStatus | None:
    try:
        return status_of(recorder.directory, looks=1)
    except ChestError:
        return None  # there is no directory before the first request


def metrics_app(recorder: Recorder, *, names: Names = "opentelemetry") -> WSGIApplication:
    """A WSGI app that answers each path with what :class:`MetricsCollector` gives, as Prometheus or OpenMetrics asks for it.

    Mount it, beside the application, at ``/metrics``. It shows routes and counts: mount it where only the scraper comes.

    :param recorder: one with ``metrics=True``.
    :param names: see :class:`MetricsCollector`.
    :raises SettingsError: the recorder does not count, or there are no such names.
    """
    registry = CollectorRegistry()
    registry.register(MetricsCollector(recorder, names=names))
    return make_wsgi_app(registry)
