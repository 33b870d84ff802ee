"""Every option once: where its value comes from, what is refused, and with which words."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chest.errors import SettingsError
from chest.settings import option
from chest.settings.settings import RECORDER_SIDE, REQUEST_SIDE, Settings, options


def resolve(
    config: dict[str, Any] | None = None, environ: dict[str, str] | None = None, /, **arguments: Any
) -> Settings:
    return Settings.resolve(arguments, config=config, environ=environ or {})


class KeepingChest:
    def write(self, records: list[object]) -> None:
        """Chests are known by this method."""


# -- where a value comes from


def test_without_anything_given_every_value_is_the_default() -> None:
    assert resolve() == Settings()
    assert {resolve().source_of(each.name) for each in options()} == {"default"}


@pytest.mark.parametrize(
    ("arguments", "config", "environ", "value", "source"),
    [
        ({"sample": 0.1}, {"CHEST_SAMPLE": 0.2}, {"CHEST_SAMPLE": "0.3"}, 0.1, "argument"),
        ({}, {"CHEST_SAMPLE": 0.2}, {"CHEST_SAMPLE": "0.3"}, 0.2, "config"),
        ({}, {}, {"CHEST_SAMPLE": "0.3"}, 0.3, "environment"),
        ({"sample": None}, {"CHEST_SAMPLE": None}, {"CHEST_SAMPLE": " "}, 1.0, "default"),
    ],
)
def test_an_argument_wins_over_config_config_over_environment_and_that_over_the_default(
    arguments: dict[str, Any], config: dict[str, Any], environ: dict[str, str], value: float, source: str
) -> None:
    settings = Settings.resolve(arguments, config=config, environ=environ)
    assert (settings.sample, settings.source_of("sample")) == (value, source)


@pytest.mark.parametrize(
    ("arguments", "config", "environ", "source"),
    [
        ({"exporter": "external"}, {}, {}, "argument"),
        ({}, {"CHEST_EXPORTER": "external"}, {}, "config"),
        ({}, {}, {"CHEST_EXPORTER": "external"}, "environment"),
        ({"delivery": "external", "exporter": "external"}, {}, {}, "argument"),
        ({"delivery": "external"}, {"CHEST_EXPORTER": "thread"}, {}, "argument"),
        ({}, {}, {"CHEST_DELIVERY": " ", "CHEST_EXPORTER": "external"}, "environment"),
    ],
)
def test_a_former_name_works_like_the_present_one(
    arguments: dict[str, Any], config: dict[str, Any], environ: dict[str, str], source: str
) -> None:
    settings = Settings.resolve(arguments, config=config, environ=environ)
    assert (settings.delivery, settings.source_of("delivery")) == ("external", source)


@pytest.mark.parametrize(
    ("arguments", "config", "environ", "told"),
    [
        (
            {"delivery": "external", "exporter": "thread"},
            {},
            {},
            r"delivery and exporter \(argument\).* remove exporter",
        ),
        ({}, {"CHEST_DELIVERY": "thread", "CHEST_EXPORTER": "external"}, {}, r"CHEST_EXPORTER \(config\)"),
        ({}, {}, {"CHEST_DELIVERY": "thread", "CHEST_EXPORTER": "external"}, r"CHEST_EXPORTER \(environment\)"),
    ],
)
def test_a_former_name_that_contradicts_the_present_one_in_one_place_is_refused(
    arguments: dict[str, Any], config: dict[str, Any], environ: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        Settings.resolve(arguments, config=config, environ=environ)


def test_a_former_name_is_said_once_a_process(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(option, "_warned_names", set())
    for _ in range(2):
        resolve({"CHEST_EXPORTER": "thread"}, {"CHEST_EXPORTS": '[{"to": "memory:x", "every": 300}]'})
    assert caplog.messages == [
        "chest: the option CHEST_EXPORTER is now called CHEST_DELIVERY; the old name still works",
        "chest: the option CHEST_EXPORTS is now called CHEST_SCHEDULED_TRANSFERS; the old name still works",
    ]


def test_the_environment_of_the_process_is_read_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_RELEASE", "v7")
    assert Settings.resolve({}).release == "v7"


def test_importing_reads_no_option() -> None:
    code = "import os; os.environ['CHEST_SAMPLE'] = 'nonsense'; import chest.settings.settings"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve().sample = 0.5  # type: ignore[misc]


def test_the_representation_shows_no_chest_url_since_it_may_hold_a_password() -> None:
    assert "hunter2" not in repr(resolve(chests=["postgresql://shop:hunter2@db/shop"]))


# -- unknown names


@pytest.mark.parametrize(
    ("name", "meant"),
    [("flush_second", "flush_seconds"), ("Sample", "sample"), ("urls", "chests"), ("exclude_path", "exclude_paths")],
)
def test_an_unknown_argument_is_refused_with_the_nearest_option(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"'{name}' \(argument\) is not an option; did you mean '{meant}'\?"):
        resolve(**{name: 1})


def test_an_unknown_argument_that_is_near_to_none_is_told_where_all_stand() -> None:
    with pytest.raises(SettingsError, match="`chest settings` shows every option"):
        resolve(colour="blue")


@pytest.mark.parametrize(
    ("key", "meant"), [("CHEST_SAMPLING", "CHEST_SAMPLE"), ("CHEST_CHESTS", "CHEST_URLS"), ("CHEST_URL", "CHEST_URLS")]
)
def test_an_unknown_config_key_is_refused_with_the_nearest_option(key: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"'{key}' \(config\) is not an option; did you mean '{meant}'\?"):
        resolve({key: 1})


def test_config_keys_of_others_are_left_alone() -> None:
    assert resolve({"SECRET_KEY": "x", "SAMPLE": 7, 3: None}) == Settings()  # type: ignore[dict-item]


def test_an_unknown_environment_name_is_warned_of_once_a_process_and_never_raises(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(option, "_warned_names", set())
    kubernetes = {"CHEST_PORT": "tcp://10.0.0.1:80", "CHEST_SERVICE_HOST": "10.0.0.1", "CHEST_SAMPEL": "1"}
    for _ in range(2):
        assert resolve({}, kubernetes).service is None
    messages = [record.getMessage() for record in caplog.records if record.name == "chest.settings"]
    assert len(messages) == 3
    assert (
        "chest: the environment variable CHEST_SAMPEL is unknown and ignored; did you mean 'CHEST_SAMPLE'?" in messages
    )
    assert not any("10.0.0.1" in message for message in messages)


# -- invalid values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", "perhaps"),
        ("enabled", 2),
        ("directory", ""),
        ("directory", "a\0b"),
        ("directory", 7),
        ("service", ".."),
        ("service", "a/b"),
        ("service", "x" * 101),
        ("service", ""),
        ("release", "two\nlines"),
        ("release", "x" * 256),
        ("tracked_vars", 5),
        ("tracked_vars", {"GET POST": ["a"]}),
        ("tracked_vars", {"get": ["a"], "GET": ["b"]}),
        ("tracked_vars", '{"GET": '),
        ("exclude_paths", ["health"]),
        ("exclude_paths", [""]),
        ("redact", b"secret"),
        ("redact", {"password": True}),
        ("redact", [None]),
        ("sample", 1.01),
        ("sample", -0.1),
        ("sample", float("nan")),
        ("sample", True),
        ("sample", 10**400),
        ("keep_slower_ms", -1),
        ("before_record", "module:function"),
        ("request_id_generator", 5),
        ("request_id_header", "X Request"),
        ("request_id_header", "X-Request:\r\nX"),
        ("ring_bytes", 1024 * 1024 - 1),
        ("ring_bytes", 4 * 1024**3 + 1),
        ("ring_bytes", "16 apples"),
        ("flush_seconds", 0),
        ("flush_seconds", "abc"),
        ("batch_records", 0),
        ("batch_records", 1.5),
        ("batch_records", 10_001),
        ("shutdown_seconds", "3s"),
        ("chests", 5),
        ("chests", ["chest.sqlite3"]),
        ("chests", ["memory:", "memory:"]),
    ],
)
def test_a_value_that_is_invalid_is_refused_with_option_source_and_expected_form(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}.* \(argument\): expected "):
        resolve(**{name: value})


def test_a_bad_value_in_the_environment_is_named_with_its_environment_name() -> None:
    with pytest.raises(SettingsError) as caught:
        resolve({}, {"CHEST_FLUSH_SECONDS": "abc"})
    assert str(caught.value) == "CHEST_FLUSH_SECONDS='abc' (environment): expected a number from 0.01 to 60 (seconds)"


def test_a_bad_value_in_the_config_is_named_with_its_key() -> None:
    with pytest.raises(SettingsError, match=r"CHEST_SAMPLE=2 \(config\): expected a number from 0 to 1"):
        resolve({"CHEST_SAMPLE": 2})


def test_a_bad_value_is_refused_even_if_it_is_a_config_value_of_text() -> None:
    with pytest.raises(SettingsError, match="CHEST_BATCH_RECORDS='many'"):
        resolve({"CHEST_BATCH_RECORDS": "many"})


def test_a_callable_cannot_come_from_the_environment_and_that_is_not_overlooked() -> None:
    with pytest.raises(SettingsError, match="text cannot be a callable; give it as the argument before_record"):
        resolve({}, {"CHEST_BEFORE_RECORD": "shop.privacy:scrub"})


@pytest.mark.parametrize("given", ["shop:hunter2@db", ["memory:", "shop:hunter2@db"]])
def test_the_value_of_a_bad_chest_url_is_not_shown(given: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(chests=given)
    assert "hunter2" not in str(caught.value)
    assert "is not a URL: a file is sqlite:///name.sqlite3" in str(caught.value)


def test_a_glob_in_both_redact_and_unredacted_is_a_contradiction() -> None:
    with pytest.raises(SettingsError, match="'token' is in redact and in unredacted"):
        resolve(redact=["token", "pin"], unredacted=["token"])


@pytest.mark.parametrize("given", [{"user_ids": "hashed"}, {"user_ids_key": "k" * 16}])
def test_hashed_users_and_their_key_need_each_other(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="user_ids=hashed and user_ids_key need each other"):
        resolve(**given)
    assert resolve(user_ids="hashed", user_ids_key="k" * 16).user_ids == "hashed"


def test_the_key_of_the_hash_is_in_no_message_and_no_representation() -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(user_ids="hashed", user_ids_key="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(resolve(user_ids="hashed", user_ids_key="hunter2-hunter2-hunter2"))


def test_what_is_redacted_by_default_can_be_exempted() -> None:
    assert resolve(unredacted=["token"]).unredacted == ("token",)


@given(st.text())
def test_any_text_in_the_environment_is_a_value_or_an_error_of_ours(text: str) -> None:
    for each in options():
        try:
            resolve({}, {each.key: text})
        except SettingsError:
            continue


# -- values from text and from Python


@pytest.mark.parametrize(
    ("word", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_boolean_is_read_from_the_usual_words(word: str, value: bool) -> None:
    assert resolve({}, {"CHEST_ENABLED": word}).enabled is value


@pytest.mark.parametrize(
    ("text", "value"), [("16MiB", 16 << 20), ("16_777_216", 16 << 20), ("1 gib", 1 << 30), ("2048KiB", 2 << 20)]
)
def test_a_size_is_read_with_or_without_a_unit(text: str, value: int) -> None:
    assert resolve({}, {"CHEST_RING_BYTES": text}).ring_bytes == value


def test_a_size_is_rounded_up_so_that_sixteen_segments_are_whole_pages() -> None:
    assert resolve(ring_bytes=10_000_000).ring_bytes == 10 * 1024 * 1024


def test_a_list_is_read_from_text_with_commas() -> None:
    settings = resolve({}, {"CHEST_EXCLUDE_PATHS": "/static/*, /health ,"})
    assert settings.exclude_paths == ("/static/*", "/health")


def test_a_lone_text_as_argument_is_one_entry_and_not_its_characters() -> None:
    assert resolve(exclude_paths="/health").exclude_paths == ("/health",)


def test_an_empty_list_is_a_value() -> None:
    settings = resolve(redact=[], tracked_vars=[])
    assert (settings.redact, settings.tracked_vars) == ((), ())
    assert settings.source_of("redact") == "argument"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("user_id, plan", ("user_id", "plan")),
        ('["user_id"]', ("user_id",)),
        ('{"get": ["user_id"], "POST": "cart, plan"}', {"GET": ("user_id",), "POST": ("cart", "plan")}),
    ],
)
def test_tracked_variables_are_read_from_a_list_or_from_json(text: str, value: object) -> None:
    assert resolve({}, {"CHEST_TRACKED_VARS": text}).tracked_vars == value


def test_a_directory_is_absolute_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/shop")
    assert resolve(directory="state").directory == tmp_path / "state"
    assert resolve({}, {"CHEST_DIRECTORY": "~/chest"}).directory == Path("/home/shop/chest")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("sqlite:///a.sqlite3", ["sqlite:///a.sqlite3"]),
        ("sqlite:///a, postgresql://b/c", ["sqlite:///a", "postgresql://b/c"]),
        ("sqlite:///a memory:,\n http://c/,", ["sqlite:///a", "memory:", "http://c/"]),
        ("mongodb://a:27017,b:27017/shop,sqlite:///x", ["mongodb://a:27017,b:27017/shop", "sqlite:///x"]),
        ("sqlite:///a,b.sqlite3", ["sqlite:///a,b.sqlite3"]),
        ("log:,memory:a,ndjson:b,c.gz", ["log:", "memory:a", "ndjson:b,c.gz"]),
        (
            "mongodb://mongodb:27017,mongodb:27018,log:27019/shop",
            ["mongodb://mongodb:27017,mongodb:27018,log:27019/shop"],
        ),
        ("postgresql://postgres:5432,postgres:5433/shop", ["postgresql://postgres:5432,postgres:5433/shop"]),
    ],
)
def test_chest_urls_are_split_at_spaces_and_at_commas_where_a_url_begins(text: str, urls: list[str]) -> None:
    assert resolve({}, {"CHEST_URLS": text}).chests == tuple(urls)


def test_a_url_in_a_list_is_never_split() -> None:
    assert resolve(chests=["sqlite:///my chests/a, b.sqlite3"]).chests == ("sqlite:///my chests/a, b.sqlite3",)


def test_chests_may_be_chests_alone_or_among_urls() -> None:
    chest = KeepingChest()
    assert resolve(chests=chest).chests == (chest,)
    assert resolve(chests=[chest, "memory:"]).chests == (chest, "memory:")


# -- what is derived


def test_every_option_belongs_to_one_side() -> None:
    assert {each.name for each in options()} == REQUEST_SIDE | RECORDER_SIDE
    assert not REQUEST_SIDE & RECORDER_SIDE


def test_every_option_says_what_it_means_and_what_it_may_be() -> None:
    for each in options():
        assert each.meaning.endswith("."), each.name
        assert each.type_text, each.name


def test_every_default_is_a_value_that_would_be_taken() -> None:
    for each in options():
        if each.default not in (None, ()):
            assert each.read(each.default, "argument") == each.default, each.name


def test_only_callables_have_no_environment_name() -> None:
    assert [each.name for each in options() if each.environment_name is None] == [
        "before_record",
        "request_id_generator",
    ]
    assert {each.name: each.environment_name for each in options()}["chests"] == "CHEST_URLS"
