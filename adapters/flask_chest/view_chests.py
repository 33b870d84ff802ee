"""``ViewChests``: the chests of a decorator, written in the request or through a recorder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from flask import Flask

from chest import Recorder
from chest.adapter import Chest, PartRecords, RecordEmitter, Settings, SubRecord, open_chest, service_of
from flask_chest.app_settings import AppSettings
from flask_chest.chests.base import FlaskChest
from flask_chest.extension import EXTENSION, AppRecorder

AnyChest: TypeAlias = FlaskChest | Chest | str
"""A chest of Flask-Chest's kind, one of Chest's, or the URL of one."""

KEY: Final = "chest.decorator"
"""Under this key ``app.extensions`` holds what the application's decorators share."""
_NAME_CHARACTERS: Final = 12


class ViewChests:
    """The chests that several decorators of one application share, with one recorder.

    The recorder is made in the first request that needs it.

    :param settings: the application's; its chests are not used.
    :param service: the name of the application, if ``settings`` have none.
    :param chests: the chests.
    :param name: the recorder's; the same from start to start, so that the records of a dead worker are found.
    """

    def __init__(self, settings: Settings, service: str, chests: Sequence[AnyChest], name: str) -> None:
        self.name = name
        self.fork_guard: Any = b"\0"
        """``fork_guard[0]`` is 1 while the recorder of this process is ready; otherwise call :meth:`prepare`."""
        self._settings = settings
        self._service = service
        self._chests = [open_chest(chest) if isinstance(chest, str) else chest for chest in chests]
        self._records = PartRecords(settings, service)
        self._way: tuple[Recorder, RecordEmitter] | None = None
        self.new_request_id: Callable[[], str] = self._records.new_request_id
        """Makes an id as ``str(uuid.uuid4())`` does, at a fraction of the cost."""
        self.ready_request_id = self.new_request_id
        """The same at a fraction of that cost; only while the recorder is ready."""

    @property
    def recorder(self) -> Recorder | None:
        """The recorder that brings records to the chests; None until a request needs it."""
        return None if self._way is None else self._way[0]

    @property
    def emitter(self) -> RecordEmitter:
        """Takes the record of a view and has it delivered to every chest later; does not wait."""
        return (self._way or self._make_way())[1]

    def prepare(self) -> None:
        """Make the recorder ready in this process."""
        recorder, _ = self._way or self._make_way()
        recorder.prepare()

    def write_now(self, view: SubRecord, request_id: str, variables: Mapping[str, Any]) -> list[tuple[str, Exception]]:
        """Write to every chest; return the labels of the chests that failed, with their exceptions."""
        triples = [(name, value, request_id) for name, value in variables.items()]
        record = None
        failures: list[tuple[str, Exception]] = []
        for chest in self._chests:
            try:
                if isinstance(chest, FlaskChest) and not chest.takes_records:
                    chest.write(list(triples))
                    continue
                record = record or self._records.made(view, request_id, variables)
                if record is not None:
                    (chest.chest if isinstance(chest, FlaskChest) else chest).write([record])
            except Exception as error:  # noqa: BLE001 - the other chests are tried too; the caller raises
                failures.append((label_of(chest), error))
        return failures

    def _make_way(self) -> tuple[Recorder, RecordEmitter]:
        chests = tuple(chest.chest if isinstance(chest, FlaskChest) else chest for chest in self._chests)
        settings = dataclasses.replace(self._settings, chests=chests)
        recorder = Recorder.from_settings(settings, self.name, self._service)
        # Two requests may come here at once: one of the two ways is kept; neither has opened anything yet.
        self._way = self._way or (recorder, self._records.into(recorder))
        self.fork_guard, self.ready_request_id = (
            self._way[0].request_side.fork_guard,
            self._way[0].request_side.request_ids.new,
        )
        return self._way


def key_of(chests: Sequence[AnyChest]) -> Hashable:
    """A key that is equal for the same chests in any order."""
    return frozenset(chest if isinstance(chest, str) else id(chest) for chest in chests)


def view_chests(app: Flask, key: Hashable, chests: Sequence[AnyChest]) -> ViewChests | None:
    """What the application's decorators with these chests share; None if recording is switched off.

    :raises SettingsError: the application's settings are invalid.
    """
    try:
        return made_for(app)[key]
    except KeyError:
        return _made(app, key, chests)


def made_for(app: Flask) -> dict[Hashable, ViewChests | None]:
    """The application's :class:`ViewChests` so far, by key."""
    made: dict[Hashable, ViewChests | None] | None = app.extensions.get(KEY)
    return app.extensions.setdefault(KEY, {}) if made is None else made


def _made(app: Flask, key: Hashable, chests: Sequence[AnyChest]) -> ViewChests | None:
    made, settings = made_for(app), settings_of(app)
    new = None
    if settings.enabled:
        name = _name_of(chests)
        same = sum(other is not None and other.name.partition("-n")[0] == name for other in list(made.values()))
        new = ViewChests(settings, service_of(app) or app.import_name, chests, f"{name}-n{same + 1}" if same else name)
    return made.setdefault(key, new)


def recorders_of(app: Flask) -> list[Recorder]:
    """The recorders of the application's decorators with chests, as far as requests have needed them.

    Tests ``flush`` them before they read a chest; ``stats`` shows their state.
    """
    made = [chests for chests in list(made_for(app).values()) if chests is not None]
    return [chests.recorder for chests in made if chests.recorder is not None]


def settings_of(app: Flask) -> Settings:
    """The application's settings: its extension's, else those of its config and the environment.

    :raises SettingsError: they are invalid.
    """
    recorded: AppRecorder | None = app.extensions.get(EXTENSION)
    return AppSettings.resolve({}, app.config).core if recorded is None else recorded.settings


def label_of(chest: FlaskChest | Chest) -> str:
    """The name of a chest for messages, without secrets."""
    return chest.label if isinstance(chest, FlaskChest) else chest.name


def _name_of(chests: Sequence[AnyChest]) -> str:
    """A name that is the same for the same chests from start to start, and fits a file's name."""
    labels = sorted(label_of(open_chest(chest) if isinstance(chest, str) else chest) for chest in chests)
    return "views-" + hashlib.sha256("\n".join(labels).encode()).hexdigest()[:_NAME_CHARACTERS]
