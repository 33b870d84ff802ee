"""``ChestPage``: who may see it, what it answers to a browser, and what it never does."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chest import SettingsError
from chest.chests import SQLiteChest, open_chest
from chest.chests.memory import MemoryChest
from chest.dashboard import ChestPage
from chest.record.record import Record
from tests.dashboard.conftest import Get, ask

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)


@pytest.mark.parametrize("allow", [None, "", "nobody", "Everybody", True])
def test_it_refuses_to_be_made_without_a_word_on_who_may_see_it(chest: MemoryChest, allow: Any) -> None:
    with pytest.raises(SettingsError, match=r"ChestPage shows what users did, so it needs allow="):
        ChestPage(chest, allow=allow)


def test_it_refuses_a_budget_or_a_number_of_questions_that_answers_nothing(chest: MemoryChest) -> None:
    for options in ({"seconds": 0}, {"patience_seconds": -1}, {"questions_at_once": 0}):
        with pytest.raises(SettingsError, match="ChestPage: seconds is above 0"):
            ChestPage(chest, allow="everybody", **options)  # type: ignore[arg-type]


def test_others_get_404_whatever_they_ask_for(chest: MemoryChest) -> None:
    page = ChestPage(chest, allow=lambda environ: environ.get("REMOTE_USER") == "ada")
    for url in ("/", "/static/page.js", "/api/top", "/api/records", "/nothing"):
        for method in ("GET", "POST"):
            answer = ask(page, url, method, REMOTE_USER="eve")
            assert (answer.status, answer.body) == (404, b"Not Found"), url
    assert ask(page, "/api/top", REMOTE_USER="ada").status == 200


def test_if_allow_raises_it_is_logged_once_and_the_page_is_not_shown(
    chest: MemoryChest, caplog: pytest.LogCaptureFixture
) -> None:
    def allow(environ: Any) -> bool:
        raise RuntimeError("the session store is down")

    page = ChestPage(chest, allow=allow)
    with caplog.at_level(logging.ERROR):
        assert [ask(page, "/").status for _ in range(3)] == [404, 404, 404]
    assert [record.message for record in caplog.records] == [
        "chest: allow= of ChestPage failed, so the page was not shown; said once"
    ]


@pytest.mark.parametrize("url", ["/", "/api/top", "/api/health", "/static/page.css", "/record/1"])
def test_only_get_and_head_are_answered(get: Get, url: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = get(url, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    head, whole = get(url, method="HEAD"), get(url)
    assert (head.status, head.body) == (whole.status, b"")
    if not url.startswith("/api/"):  # an answer says how long it took
        assert head.headers == whole.headers


@pytest.mark.parametrize(
    "url", ["/", "/record/1", "/static/page.js", "/api/top", "/api/top?filter=(", "/nothing", "/api/x"]
)
def test_every_answer_has_the_headers_of_the_policy_and_none_that_lets_other_sites_read_it(get: Get, url: str) -> None:
    headers = get(url).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert not any(name.lower().startswith("access-control-") for name in headers)
    assert headers["Cache-Control" if url.startswith("/api/t") else "Content-Type"]


def test_the_html_is_the_same_for_every_question_and_holds_nothing_of_it(get: Get) -> None:
    whole = get("/").body
    for url in ("/?filter=<script>", "/new?filter=x", "/health"):
        assert get(url).body == whole
    assert b"<script>" not in whole
    assert not re.search(rb"<script[^>]*>[^<]", whole), "no script stands in the HTML"
    assert not re.search(rb"\son\w+=|style=|<style", whole), "nor a handler or style"


def test_the_page_of_a_record_names_the_files_one_directory_up(get: Get) -> None:
    here, below = (re.findall(rb'(?:src|href)="([^"]+)"', get(url).body) for url in ("/", "/record/abc"))
    assert len(here) >= 2
    assert below == [b"../" + link for link in here]
    assert get("/record/%3Cscript%3E").body == get("/record/abc").body


def test_a_file_is_sent_once_and_then_asked_for_by_its_tag(get: Get) -> None:
    first = get("/")
    again = get("/", HTTP_IF_NONE_MATCH=f'"other", W/{first.headers["ETag"]}')
    assert (again.status, again.body) == (304, b"")
    assert "Content-Length" not in again.headers
    assert again.headers["ETag"] == first.headers["ETag"]
    assert get("/", HTTP_IF_NONE_MATCH='"other"').status == 200


@pytest.mark.parametrize(
    "name",
    [
        "../page.py",
        "..%2fpage.py",
        "index.html",
        "",
        "page.py",
        "/etc/passwd",
        "x/page.js",
        "a\0.js",
        "\xff.css",
        "a" * 5000 + ".js",
    ],
)
def test_only_the_files_of_the_page_are_served(get: Get, name: str) -> None:
    assert get(f"/static/{name}").status == 404


@pytest.mark.parametrize(
    "url", ["/nothing", "/new/x", "/record", "/record/", "/api", "/api/", "/api/nothing", "/api/record/"]
)
def test_what_is_not_there_is_404(get: Get, url: str) -> None:
    assert get(url).status == 404


def test_a_mount_point_without_its_last_slash_leads_to_the_page(get: Get) -> None:
    answer = get("", SCRIPT_NAME="/shop/__chest__")
    assert (answer.status, answer.headers["Location"]) == (308, "__chest__/")
    assert get("").status == 200


def test_the_way_to_the_page_keeps_the_question(get: Get) -> None:
    answer = get("?filter=a%3D1&since=1h", SCRIPT_NAME="/__chest__")
    assert answer.headers["Location"] == "__chest__/?filter=a%3D1&since=1h"
    for name, query in (("/a:b\r\n", "x=\r\ny"), ("/\xc3\xa4", "\xff")):
        location = get(f"?{query}", SCRIPT_NAME=name).headers["Location"]
        assert location.isascii()
        assert location.isprintable()
        assert ":" not in location


def test_no_exception_leaves_the_page(
    get: Get, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("chest.dashboard.page.static_file", fail)
    with caplog.at_level(logging.ERROR):
        answer = get("/static/page.js")
    assert (answer.status, answer.json["error"]) == (500, "The question failed; the log of the server says why.")
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "secret" in caplog.text


def test_bytes_that_are_no_text_are_answered(get: Get) -> None:
    for path in ("/\xff\xfe", "/api/record/\xff", "/static/\x00", "/record/\x00\xff"):
        assert get(path).status in (200, 404)
    assert get("/api/top?filter=\xff=%ff").status in (200, 400)


def test_a_page_without_a_chest_says_what_to_give_it() -> None:
    answer = ask(ChestPage(allow="everybody"), "/api/top")
    assert (answer.status, answer.json["error"]) == (
        400,
        "ChestPage has no chest: give it a URL, or mount it by ChestMiddleware(ui=...)",
    )


def test_a_chest_that_can_only_be_written_is_refused_in_a_sentence() -> None:
    answer = ask(ChestPage("log:", allow="everybody"), "/api/top")
    assert answer.status == 400
    assert "can only be written" in answer.json["error"]


def test_a_store_that_is_not_there_is_a_sentence_and_is_asked_again(tmp_path: Any, records: Any) -> None:
    url = f"sqlite:///{tmp_path}/chest.sqlite3"
    page = ChestPage(url, allow="everybody")
    for question in ("top", "records", "record/1", "names"):
        answer = ask(page, f"/api/{question}")
        assert answer.status == 503, question
        assert "no such file" in answer.json["error"]

    with SQLiteChest(url) as chest:
        chest.write(records)
    assert ask(page, "/api/top").status == 200
    page.close()


def test_a_question_that_fails_is_logged_and_tells_the_browser_nothing_of_it(
    chest: MemoryChest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(chest, "cube", fail)
    with caplog.at_level(logging.ERROR):
        answer = ask(ChestPage(chest, allow="everybody"), "/api/top")
    assert (answer.status, answer.json["error"]) == (500, "The question failed; the log of the server says why.")
    assert "secret" in caplog.text


@pytest.mark.parametrize("path", ["records?limit", "over-time?steps", "heatmap?columns", "heatmap?rows", "top?limit"])
def test_a_number_is_held_to_its_limit_however_it_is_written(get: Get, path: str) -> None:
    for number in ("0000000000015000", "15000", "0", "0" * 5000, "9" * 5000, "-1", "1.5", "٣"):
        answer = get(f"/api/{path}={quote(number)}")
        assert (answer.status, answer.json["parameter"]) == (400, path.partition("?")[2]), number
    assert get(f"/api/{path}=007").status == 200


@pytest.mark.parametrize("store", ["memory", "sqlite", "ndjson"])
@pytest.mark.parametrize(
    "url",
    [
        *(f"records?{name}={value}" for name in ("before_id", "after_id") for value in ("abc", "1.5", "-1", "9" * 30, "%00")),
        *(f"heatmap?name=duration&value={value}" for value in ("nan", "inf", "-Infinity", "1e999", "fast")),
        *(f"compare?from={value}" for value in ("nan", "inf", "1e999", "x")),
        *(f"top?{name}={value}" for name in ("since", "until", "against") for value in ("nan", "x", "\0")),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_understood_is_400_and_a_sentence(
    get: Get, records: list[Record], tmp_path: Path, store: str, url: str
) -> None:
    if store != "memory":
        location = f"sqlite:///{tmp_path}/c.sqlite3" if store == "sqlite" else f"ndjson:{tmp_path}/c.ndjson.gz"
        with closing(open_chest(location)) as chest:
            chest.write(records[:10])
        page = ChestPage(location, allow="everybody", seconds=30)
        answer = ask(page, f"/api/{url}")
        page.close()
    else:
        answer = get(f"/api/{url}")
    assert answer.status == 400
    assert answer.json["error"]
