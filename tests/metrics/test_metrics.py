"""/metrics: every request that ended, of all processes, under the names that people look for."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from chest import ChestMiddleware, Recorder, SettingsError, current
from chest.chests.memory import MemoryChest
from chest.metrics import MetricsCollector, metrics_app
from tests.kill.load import children_of
from tests.servers import HOST, Server, gunicorn
from tests.support import wait_until

DURATION = "http_server_request_duration_seconds"


def application(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    current().route = environ.get("ROUTE", "/items/<id>")
    if environ["PATH_INFO"] == "/raise":
        raise LookupError("no")
    if environ["PATH_INFO"] == "/excluded":
        current().exclude()
    start_response(environ.get("STATUS", "200 OK"), [])
    return [b"x"]


class Service:
    """A middleware and what is scraped of it."""

    def __init__(self, directory: Path, names: Any = "opentelemetry", chest: Any = None, **options: Any) -> None:
        recorder_options = {name: options.pop(name) for name in ("delivery", "in_flight") if name in options}
        self.recorder = Recorder(
            [chest or MemoryChest()], directory=directory, metrics=True, service="shop", **recorder_options
        )
        self.app = ChestMiddleware(application, recorder=self.recorder, **options)
        self.metrics = metrics_app(self.recorder, names=names)

    def get(self, path: str = "/items/1", **environ: str) -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.url_scheme": "http"} | environ
        b"".join(self.app(environ, lambda *_: None))

    def text(self, accept: str = "text/plain") -> str:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_ACCEPT": accept}
        return b"".join(self.metrics(environ, lambda *_: None)).decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        """Each sample but the buckets, by its name and the values of its labels."""
        families = prometheus(self.text())
        return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}

    def counts(self) -> dict[tuple[str, ...], float]:
        """How many requests, by method, status, route and type of error, as far as each has one."""
        families = {family.name: family for family in prometheus(self.text())}
        names = ("http_request_method", "http_response_status_code", "http_route", "error_type", "otel_metric_overflow")
        return {
            tuple(each.labels[name] for name in names if name in each.labels): each.value
            for each in families[DURATION].samples
            if each.name.endswith("_count")
        }


@pytest.fixture
def make(tmp_path: Path) -> Iterable[Callable[..., Service]]:
    made: list[Service] = []

    def make(**options: Any) -> Service:
        made.append(Service(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.recorder.close()


def test_requests_are_counted_by_method_route_status_and_error(make: Callable[..., Service]) -> None:
    service = make()
    service.get()
    service.get(REQUEST_METHOD="BREW")
    service.get(STATUS="404 NOT FOUND", ROUTE="/a")
    service.get(STATUS="503 SERVICE UNAVAILABLE")
    with pytest.raises(LookupError):
        service.get("/raise")
    assert service.counts() == {
        ("GET", "200", "/items/<id>"): 1,
        ("_OTHER", "200", "/items/<id>"): 1,
        ("GET", "404", "/a"): 1,
        ("GET", "503", "/items/<id>", "503"): 1,
        ("GET", "500", "/items/<id>", "LookupError"): 1,
    }


def test_what_sampling_and_before_record_leave_out_is_counted_and_what_is_excluded_is_not(
    make: Callable[..., Service],
) -> None:
    chest = MemoryChest()
    service = make(chest=chest, sample=0.0, before_record=lambda record: False, exclude_paths=["/health"])
    for _ in range(5):
        service.get()
    service.get("/health")
    service.get("/excluded")
    service.recorder.flush(60)
    assert chest.records == []
    assert service.counts() == {("GET", "200", "/items/<id>"): 5}


def test_routes_without_a_bound_do_not_become_labels_without_a_bound(make: Callable[..., Service]) -> None:
    service = make()
    for number in range(1100):
        service.get(ROUTE=f"/{number}")
    counts = service.counts()
    assert len(counts) == 1024
    assert counts[("true",)] == 1100 - 1023


def test_an_exemplar_leads_to_the_record(make: Callable[..., Service]) -> None:
    service = make()
    service.get(HTTP_X_REQUEST_ID="the-request")
    (family,) = (
        each
        for each in openmetrics(service.text("application/openmetrics-text; version=1.0.0"))
        if each.name == DURATION
    )
    (exemplar,) = (each.exemplar for each in family.samples if each.exemplar is not None)
    assert exemplar.labels == {"request_id": "the-request"}
    assert 0 < exemplar.value < 60


def test_the_names_of_flask_applications(make: Callable[..., Service]) -> None:
    service = make(names="flask")
    service.get()
    service.get(STATUS="500 X")
    samples = service.samples()
    assert samples["flask_request_total", "unknown", "GET", "200"] == 1
    assert samples["flask_request_total", "unknown", "GET", "500"] == 1
    assert samples["flask_request_latency_seconds_count", "unknown", "GET"] == 2
    assert DURATION not in service.text()


def test_what_the_recorder_did_is_there(make: Callable[..., Service]) -> None:
    service = make()
    service.get()
    service.recorder.flush(60)
    samples = service.samples()
    assert samples["chest_records_delivered_total", service.recorder.chests[0].name] == 1
    assert samples["chest_ring_bytes",] == samples["chest_oldest_waiting_seconds",] == 0
    assert samples["chest_processes",] == samples["chest_delivery_threads",] == 1


def test_what_waits_is_there_with_its_age(make: Callable[..., Service]) -> None:
    service = make(delivery="external")
    service.get()
    samples = service.samples()
    assert samples["chest_ring_records",] == 1
    assert samples["chest_ring_bytes",] > 50
    assert samples["chest_oldest_waiting_seconds",] > 0
    assert samples["chest_delivery_threads",] == 0


@pytest.mark.kept_memory
def test_requests_that_are_being_served_are_told_by_method_and_scheme_and_no_work(make: Callable[..., Service]) -> None:
    service = make()
    seen: list[dict[tuple[str, ...], float]] = []
    app = ChestMiddleware(
        lambda environ, start: seen.append(service.samples()) or application(environ, start), recorder=service.recorder
    )
    with service.recorder.work("nightly"):
        for method, scheme, path in (("PUT", "https", "/"), ("BREW", "http", "/"), ("GET", "http", "/" + "long" * 200)):
            environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.url_scheme": scheme}
            b"".join(app(environ, lambda *_: None))
    active = [
        {key[1:]: count for key, count in each.items() if key[0] == "http_server_active_requests"} for each in seen
    ]
    assert active == [{("PUT", "https"): 1}, {("_OTHER", "http"): 1}, {("GET", ""): 1}]


def test_before_the_first_request_there_is_nothing_and_no_directory_is_made(tmp_path: Path) -> None:
    service = Service(tmp_path / "none")
    assert service.counts() == {}
    assert not (tmp_path / "none").exists()


@pytest.mark.kept_memory
def test_a_recorder_that_was_closed_is_counted_once(make: Callable[..., Service]) -> None:
    service = make()
    service.get()
    service.recorder.close()
    for _ in range(2):
        assert service.counts() == {("GET", "200", "/items/<id>"): 1}
    later = make()
    later.get()
    assert later.counts() == {("GET", "200", "/items/<id>"): 2}


@pytest.mark.kept_memory
def test_a_file_that_was_taken_away_takes_no_count_away(make: Callable[..., Service], tmp_path: Path) -> None:
    service = make()
    service.get()
    for path in tmp_path.glob("*.tally*"):
        path.unlink()
    assert service.counts() == {("GET", "200", "/items/<id>"): 1}
    assert len(list(tmp_path.glob("*.tally"))) == 1


@pytest.mark.kept_memory
def test_what_ended_processes_counted_is_added_up_by_the_next_though_nothing_is_scraped(
    make: Callable[..., Service], tmp_path: Path
) -> None:
    for _ in range(3):
        service = make()
        service.get()
        service.recorder.close()
    make().get()
    wait_until(lambda: len(list(tmp_path.glob("*.tally"))) == 1)
    assert make().counts() == {("GET", "200", "/items/<id>"): 4}


def test_without_a_directory_the_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    service = Service(tmp_path / "file" / "directory")
    service.get()
    assert service.counts() == {("GET", "200", "/items/<id>"): 1}
    service.recorder.close()


@pytest.mark.kept_memory
def test_a_forked_child_counts_for_itself_and_nothing_twice(make: Callable[..., Service]) -> None:
    service = make()
    service.get()
    child = os.fork()
    if not child:
        service.get()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert service.counts() == {("GET", "200", "/items/<id>"): 2}


def test_a_recorder_that_does_not_count_is_refused_with_the_cure() -> None:
    with pytest.raises(SettingsError, match="CHEST_METRICS=1"):
        MetricsCollector(Recorder(["memory:"]))
    with pytest.raises(SettingsError, match="opentelemetry, flask"):
        metrics_app(Recorder(["memory:"], metrics=True), names="django")  # type: ignore[arg-type]


# -- under a server, beside prometheus_client -------------------------------------------------------------------------------


def _get(server: Server, path: str) -> str:
    """The body, as much of it as came."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except http.client.IncompleteRead as error:
        return error.partial.decode()
    finally:
        connection.close()


def _scraped(server: Server, path: str) -> dict[tuple[str, str], float]:
    """What both count: requests by endpoint and status."""
    families = prometheus(_get(server, path))
    return {
        (each.labels["endpoint"], each.labels["status"]): each.value
        for family in families
        for each in family.samples
        if each.name == "flask_request_total" and each.labels["endpoint"] in ("work", "stream")
    }


@pytest.mark.server
def test_under_gunicorn_it_agrees_with_prometheus_client_but_for_broken_streams_also_after_a_kill(
    tmp_path: Path,
) -> None:
    (tmp_path / "prometheus").mkdir()
    environ = {"CHEST_DIRECTORY": str(tmp_path / "chest"), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "prometheus")}
    with gunicorn("tests.metrics.app:app", tmp_path / "server", "--workers=2", environ=environ) as server:
        for _ in range(100):
            assert _get(server, "/work") == "x"
        for _ in range(10):
            assert _get(server, "/stream") == "a"
        ours = {("work", "200"): 100, ("stream", "200"): 10}
        wait_until(lambda: _scraped(server, "/metrics") == ours)
        assert _scraped(server, "/prometheus") == ours
        broken = [
            each.value
            for family in prometheus(_get(server, "/otel"))
            for each in family.samples
            if each.name == f"{DURATION}_count" and each.labels.get("error_type") == "RuntimeError"
        ]
        assert broken == [10], "prometheus_client counts them as any other"
        workers = children_of(server.process.pid)
        os.kill(workers[0], 9)
        wait_until(
            lambda: set(children_of(server.process.pid)) != set(workers) and len(children_of(server.process.pid)) == 2
        )
        for page in ("/metrics", "/prometheus"):
            assert {tuple(sorted(_scraped(server, page).items())) for _ in range(6)} == {tuple(sorted(ours.items()))}
        assert len(list((tmp_path / "chest").glob("*.tally"))) <= 2
        processes = {path.stem.rpartition("_")[2] for path in (tmp_path / "prometheus").iterdir()}
        assert str(workers[0]) in processes, "the file of the killed worker stays, and so does that of each later one"


def test_work_is_not_a_request_and_is_not_counted(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.get()
    with service.recorder.work("send_email", kind="job"):
        pass
    assert [labels[0] for labels in service.counts()] == ["GET"]
    assert "send_email" not in service.text()
    service.recorder.close()
