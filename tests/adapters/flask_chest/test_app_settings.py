"""``AppSettings``: options from arguments, config and environment, and ``CHEST_G`` among them."""

from __future__ import annotations

from typing import Any

import pytest
from flask_chest.app_settings import G_OPTION, AppSettings

from chest import SettingsError
from chest.settings.settings import options


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHEST_G", raising=False)


def test_by_default_all_of_g_is_taken() -> None:
    settings = AppSettings.resolve({}, {})
    assert (settings.g, settings.g_source, settings.takes_all_of_g) == ("all", "default", True)


def test_an_argument_wins_over_the_config_and_that_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_G", "all")
    assert AppSettings.resolve({}, {})[1:] == ("all", "environment")
    assert AppSettings.resolve({}, {"CHEST_G": "Tracked "})[1:] == ("tracked", "config")
    assert AppSettings.resolve({"g": "none"}, {"CHEST_G": "tracked"})[1:] == ("none", "argument")
    assert AppSettings.resolve({"g": None}, {"CHEST_G": None})[1:] == ("all", "environment")


@pytest.mark.parametrize(
    ("mode", "tracked_vars", "takes_all"),
    [
        ("all", None, True),
        ("all", ["user_id"], True),
        ("tracked", None, False),
        ("tracked", ["user_id"], True),
        ("tracked", [], True),
        ("none", None, False),
        ("none", ["user_id"], False),
    ],
)
def test_what_is_tracked_is_left_to_tracked_vars(mode: str, tracked_vars: Any, takes_all: bool) -> None:
    assert AppSettings.resolve({"g": mode, "tracked_vars": tracked_vars}, {}).takes_all_of_g is takes_all


def test_the_cores_options_are_the_cores() -> None:
    settings = AppSettings.resolve({"sample": 0.5}, {"CHEST_RELEASE": "v1", "DEBUG": True})
    assert (settings.core.sample, settings.core.release) == (0.5, "v1")
    with pytest.raises(SettingsError, match="CHEST_GG"):
        AppSettings.resolve({}, {"CHEST_GG": "all"})


def test_the_adapters_option_has_a_name_that_no_option_of_the_core_has() -> None:
    assert G_OPTION.name not in {option.name for option in options()}
    assert G_OPTION.key not in {option.key for option in options()}
