"""A store is told by where it is, however its URL is written."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from chest.chests.store_identity import store_identity

SAME = [
    [
        "postgresql://v1@db/shop",
        "postgresql://v2:***@DB:5432/shop",
        "postgres://db./shop",
        "postgresql+psycopg://v1@db/shop",
        "postgresql://v1@db/shop?table=chest_records",
        "postgresql://db/shop?timeout_seconds=30&sslmode=require",
    ],
    ["mysql://u:***@db/shop", "mysql+pymysql://db:3306/shop", "mariadb://db/shop"],
    ["mongodb://u:***@b,a:27018/shop", "mongodb://a:27018,b:27017/shop?collection=chest_records&ttl_days=3"],
    ["mongodb+srv://u:***@cluster.example/shop", "mongodb+srv://cluster.example/shop?timeout_seconds=3"],
    ["influxdb://h/org/bucket", "influxdb://h:8086/org/bucket?gzip=1&shape=request", "influxdb+http://h/org/bucket?token=***"],
    [
        "https://h/in?tenant=5",
        "https://***@h/in?gzip=1&tenant=5&timeout_seconds=30",
        "https://H:443/in?token=***&tenant=5&format=ndjson",
    ],
    ["otlp://h", "otlp+https://***@H:4318/", "otlp://h?signal=traces&gzip=0"],
    ["otlp://u:***@h?headers_env=VENDOR", "otlp+https://u:pw@H:4318/?gzip=0&headers_env=VENDOR"],
    ["http://h", "http://h/", "http://h:80/#part"],
    ["http://[::1]/x", "http://[::1]:80/x"],
    ["nats://u:***@b,a/shop", "nats+tls://u:pw@a:4222,b:4222/shop?replicas=3&atomic=1"],
    ["nats://a/shop?account=AB", "nats+tls://***@a:4222/shop?account=AB&credentials=/etc/shop.creds"],
    ["sqlite:///shop.sqlite3", "sqlite:///./shop.sqlite3?table=chest_records&busy_timeout_ms=5"],
    ["ndjson:a.ndjson", "ndjson:./a.ndjson"],
    ["log:///var/log/a.log", "log:/var/log/a.log?variables=1"],
    ["guest://u:***@h/x?a=1", "guest://h/x?a=1&token=***"],
]  # fmt: skip
DIFFERENT = [
    "postgresql://db/shop", "postgresql://db2/shop", "postgresql://db:5433/shop", "postgresql://db/other",
    "postgresql://db/shop?table=more", "mysql://db/shop", "mongodb://db/shop", "mongodb://db/shop?collection=more",
    "mongodb://db,db2/shop", "nats://db/shop", "nats://db/shop?subject=a", "nats://db/other",
    "nats://a:***@db/shop", "nats://b:***@db/shop", "nats://db/shop?account=A", "nats://db/shop?account=B", "influxdb://db/org/shop", "influxdb://db/org/shop?shape=variable", "http://db/shop",
    "https://db/shop", "http://db/shop/", "http://db/shop?tenant=1", "http://db/shop?tenant=2", "sqlite:///shop",
    "sqlite:///shop?table=more", "sqlite:///shop%3F", "log:", "log:shop", "ndjson:shop", "memory:shop", "memory",
    "otlp://db", "otlp://db?signal=logs", "otlp://db/shop", "otlp://a:***@db", "otlp://b:***@db",
    "otlp://db?headers_env=A", "otlp://db?headers_env=B", "otlp://db?sent=1", "http://a:***@db/shop", "http://b:***@db/shop",
    "http://db/shop?sent=1", "FlaskChestSQLite(sqlite:///shop)", "guest://db/shop", "lines:shop", "a label of the user's",
]  # fmt: skip


@pytest.mark.parametrize("labels", SAME, ids=lambda labels: labels[0])
def test_what_is_not_part_of_the_address_makes_no_other_store(labels: list[str]) -> None:
    assert len({store_identity(label) for label in labels}) == 1


def test_another_place_is_another_store() -> None:
    for one, other in combinations(DIFFERENT, 2):
        assert store_identity(one) != store_identity(other), (one, other)


@pytest.mark.parametrize("label", [*(label for labels in SAME for label in labels), *DIFFERENT, "sqlite:///a%2525?x"])
def test_an_identity_is_its_own_identity(label: str) -> None:
    assert store_identity(store_identity(label)) == store_identity(label)


def test_a_file_is_told_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_identity("sqlite:///shop.sqlite3") == store_identity(f"sqlite:///{tmp_path}/shop.sqlite3")
