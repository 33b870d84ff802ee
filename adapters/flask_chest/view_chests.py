"""``ViewChests``: the chests that decorators name, and the two ways to them: in the request, or through a recorder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from flask import Flask

from chest import Recorder
from chest.adapter import Chest, PartRecords, Recording, RequestPart, Settings, open_chest, service_of
from flask_chest.app_settings import AppSettings
from flask_chest.extension import EXTENSION, AppRecorder
from flask_chest.triples import FlaskChest

AnyChest: TypeAlias = FlaskChest | Chest | str
"""A chest of Flask-Chest's kind, one of Chest's, or the URL of one."""

KEY: Final = "chest.decorator"
"""Under this key an application's ``extensions`` hold what its decorators share."""
_NAME_CHARACTERS: Final = 12


class ViewChests:
    """What the decorators of one application write to that name the same chests: they share one recorder.

    Nothing is made before the first request that needs it.

    :param settings: the application's; its chests are not used.
    :param service: what the application is called where ``settings`` do not say.
    :param chests: the chests.
    :param name: the recorder's; the same from start to start, so that what a dead worker left is found.
    """

    def __init__(self, settings: Settings, service: str, chests: Sequence[AnyChest], name: str) -> None:
        self.name = name
        self.mark: Any = b"\0"
        """``mark[0]`` is 1 while the recorder of this process is ready; else :meth:`prepare` is to be called."""
        self._settings = settings
        self._service = service
        self._chests = [open_chest(chest) if isinstance(chest, str) else chest for chest in chests]
        self._records = PartRecords(settings, service)
        self._way: tuple[Recorder, Recording] | None = None
        self.new_request_id: Callable[[], str] = self._records.new_request_id
        """Makes an id as ``str(uuid.uuid4())`` does, at a fraction of the cost."""
        self.ready_request_id = self.new_request_id
        """The same at a fraction of that; only while the recorder is ready."""

    @property
    def recorder(self) -> Recorder | None:
        """What brings records to the chests; None as long as no request needed it."""
        return None if self._way is None else self._way[0]

    @property
    def recording(self) -> Recording:
        """What a view is to be finished as, to have its record brought to every chest later; waits for none."""
        return (self._way or self._make_way())[1]

    def prepare(self) -> None:
        """Make the recorder ready in this process."""
        recorder, _ = self._way or self._make_way()
        recorder.prepare()

    def write_now(
        self, view: RequestPart, request_id: str, variables: Mapping[str, Any]
    ) -> list[tuple[str, Exception]]:
        """Write to every chest, and return the labels of those that failed, with what they raised."""
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
            except Exception as error:  # noqa: BLE001 - the others are to be tried too; the caller raises
                failures.append((label_of(chest), error))
        return failures

    def _make_way(self) -> tuple[Recorder, Recording]:
        chests = tuple(chest.chest if isinstance(chest, FlaskChest) else chest for chest in self._chests)
        settings = dataclasses.replace(self._settings, chests=chests)
        recorder = Recorder.from_settings(settings, self.name, self._service)
        # Two requests may come here at once: of what both make, which has made nothing yet itself, one is kept.
        self._way = self._way or (recorder, self._records.into(recorder))
        self.mark, self.ready_request_id = self._way[0].mark, self._way[0].request_ids.new
        return self._way


def key_of(chests: Sequence[AnyChest]) -> Hashable:
    """Equal for the same chests, in whatever order they are named."""
    return frozenset(chest if isinstance(chest, str) else id(chest) for chest in chests)


def view_chests(app: Flask, key: Hashable, chests: Sequence[AnyChest]) -> ViewChests | None:
    """What the decorators of the application share that name these chests; None where it is switched off.

    :raises SettingsError: the application's settings cannot be meant.
    """
    try:
        return made_for(app)[key]
    except KeyError:
        return _made(app, key, chests)


def made_for(app: Flask) -> dict[Hashable, ViewChests | None]:
    """What there is for the application so far."""
    made: dict[Hashable, ViewChests | None] | None = app.extensions.get(KEY)
    return app.extensions.setdefault(KEY, {}) if made is None else made


def _made(app: Flask, key: Hashable, chests: Sequence[AnyChest]) -> ViewChests | None:
    made, settings = made_for(app), settings_of(app)
    new = None
    if settings.enabled:
        name = _name_of(chests)
        same = sum(other is not None and other.name.partition("-n")[0] == name for other in list(made.values()))
        new = ViewChests(settings, service_of(app, app.import_name), chests, f"{name}-n{same + 1}" if same else name)
    return made.setdefault(key, new)


def recorders_of(app: Flask) -> list[Recorder]:
    """The recorders behind the application's decorators that name chests, as far as a request has needed them.

    For tests, which ``flush`` them before they look, and for a look at their ``stats``.
    """
    made = [chests for chests in list(made_for(app).values()) if chests is not None]
    return [chests.recorder for chests in made if chests.recorder is not None]


def settings_of(app: Flask) -> Settings:
    """The application's settings: its extension's, else those of its config and the environment.

    :raises SettingsError: they cannot be meant.
    """
    recorded: AppRecorder | None = app.extensions.get(EXTENSION)
    return AppSettings.resolve({}, app.config).core if recorded is None else recorded.settings


def label_of(chest: FlaskChest | Chest) -> str:
    """What messages call a chest, without secrets."""
    return chest.label if isinstance(chest, FlaskChest) else chest.name


def _name_of(chests: Sequence[AnyChest]) -> str:
    """The same for the same chests from start to start, and a file's name."""
    labels = sorted(label_of(open_chest(chest) if isinstance(chest, str) else chest) for chest in chests)
    return "views-" + hashlib.sha256("\n".join(labels).encode()).hexdigest()[:_NAME_CHARACTERS]
