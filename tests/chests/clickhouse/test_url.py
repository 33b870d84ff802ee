"""What the URL of a ClickHouse chest says."""

from __future__ import annotations

import pytest

from chest.chests.clickhouse.url import ClickHouseTarget
from chest.chests.registry import open_chest
from chest.chests.store_identity import store_identity
from chest.errors import SettingsError


def test_each_part_of_the_url_has_its_place() -> None:
    target = ClickHouseTarget.of(
        "clickhouse+https://me:a%2Fb%40c@db1:9000,db2,[::1]:8444/shop?table=requests&gzip=0&ttl_days=30&timeout_seconds=5&ca_file=/ca.pem"
    )
    assert target == ClickHouseTarget(
        name="clickhouse+https://me:***@db1:9000,db2:8443,[::1]:8444/shop?table=requests",
        addresses=("https://db1:9000", "https://db2:8443", "https://[::1]:8444"),
        user="me", password="a/b@c", database="shop", table="requests", is_gzipped=False, ca_file="/ca.pem", ttl_days=30,
        timeout_seconds=5.0,
    )  # fmt: skip


def test_what_is_left_out_has_a_default() -> None:
    target = ClickHouseTarget.of("clickhouse://db")
    assert (target.addresses, target.user, target.password) == (("http://db:8123",), "default", "")
    assert (target.database, target.table, target.is_gzipped, target.ttl_days) == (
        "default",
        "chest_records",
        True,
        None,
    )


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("clickhouse://", "names no ClickHouse"),
        ("clickhouse://db:http/shop", "names no ClickHouse"),
        ("clickhouse://db:99999/shop", "names no ClickHouse"),
        ("clickhouse://db,,other/shop", "names no ClickHouse"),
        ("clickhouse://db/shop/table", "names no ClickHouse"),
        ("clickhouse://db/sh`op", "names no ClickHouse"),
        ("clickhouse://me:a/b@db/shop", "%-code"),
        ("clickhouse://db/shop?table=a-b", "letters, digits and _"),
        ("clickhouse://db/shop?tabel=a", "Did you mean table"),
        ("clickhouse://db/shop?ttl_days=0.5", "whole number of days"),
        ("clickhouse://db/shop?ttl_days=1.5", "whole number of days"),
        ("clickhouse://db/shop?ttl_days=inf", "whole number of days"),
        ("clickhouse://db/shop?ca_file=/ca.pem", "nothing is encrypted"),
        ("clickhouse://db/shop?async_insert=1", "before it is stored can be lost"),
        ("clickhouse://db/shop?wait_for_async_insert=0", "async_insert=0"),
    ],
)
def test_what_cannot_be_right_is_refused(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        open_chest(url)


def test_one_store_has_one_identity_however_it_is_written() -> None:
    urls = [
        "clickhouse://db1,db2/shop",
        "clickhouse://me:secret@DB2:8123,db1:8123/shop?table=chest_records&gzip=0",
        open_chest("clickhouse://me:secret@db2,db1/shop").name,
    ]
    assert len({store_identity(url) for url in urls}) == 1
    assert store_identity("clickhouse://db1,db2/shop?table=other") != store_identity(urls[0])
