"""``mounted``: the mount of an application before its routes, of few values and without secrets."""

from __future__ import annotations

import pytest

from chest.request import fields
from chest.request.fields import mounted


@pytest.mark.parametrize(
    ("script_name", "route"),
    [
        ("", "/items"),
        (None, "/items"),
        (3, "/items"),
        ("/shop", "/shop/items"),
        ("/caf\xc3\xa9", "/café/items"),
        ("/https://ada:secret@host", "/items"),
        ("/token=secret", "/items"),
    ],
)
def test_a_mount_stands_before_the_route_unless_it_may_hold_a_secret(script_name: object, route: str) -> None:
    assert mounted(script_name, "/items") == route


def test_a_route_with_its_mount_is_no_longer_than_any_other() -> None:
    assert len(mounted("/" + "m" * 300, "/" + "r" * 300)) == 512


def test_mounts_without_end_do_not_make_routes_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "_mounts", {})
    assert len({mounted(f"/tenant-{number}", "/items") for number in range(1000)}) == 101
    assert mounted("/tenant-3", "/items") == "/tenant-3/items"
