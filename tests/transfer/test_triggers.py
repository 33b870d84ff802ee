"""``cron_fields``: a line of a crontab means what crontab(5) says."""

from __future__ import annotations

import pytest

from chest.errors import SettingsError
from chest.transfer.triggers import cron_fields


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("*", "*"),
        ("0", "sun"),
        ("7", "sun"),
        ("1-5", "mon,tue,wed,thu,fri"),
        ("5-7", "fri,sat,sun"),
        ("*/2", "sun,tue,thu,sat"),
        ("1/3", "mon,thu"),
        ("1,3", "mon,wed"),
        ("MON-FRI", "mon-fri"),
    ],
)
def test_weekdays_count_from_sunday(weekday: str, days: str) -> None:
    assert cron_fields(f"0 3 * * {weekday}")["day_of_week"] == days


def test_the_other_fields_are_as_they_are_written() -> None:
    assert cron_fields("*/5 8-18 1,15 * *") == {
        "minute": "*/5", "hour": "8-18", "day": "1,15", "month": "*", "day_of_week": "*"
    }  # fmt: skip
    assert cron_fields("@weekly") == cron_fields("0 0 * * 0")


@pytest.mark.parametrize(("line", "said"), [("* * * *", "five fields"), ("", "five fields"), ("0 0 1 * 1", "either")])
def test_what_is_invalid_is_refused(line: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        cron_fields(line)
