"""``record_commands``: each management command is work."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from django.core.management.base import BaseCommand

from chest.adapter import RecordsWork

SERVING: Final = frozenset({"runserver", "testserver", "shell", "dbshell", "test"})
"""Commands that serve, or that a person sits at: their duration says nothing."""


def record_commands(recorder: RecordsWork) -> None:
    """Leave a record of each management command that this process runs, with the name that is typed and the kind ``COMMAND``.

    Also of one that another calls by ``call_command``; not of :data:`SERVING`. Call it once, in ``manage.py`` or in the ``ready`` of
    an ``AppConfig``.

    Example::

        record_commands(Recorder(service="mysite"))

    :param recorder: a ``chest.Recorder``.
    """
    execute = BaseCommand.execute

    @wraps(execute)
    def execute_recorded(self: BaseCommand, *args: Any, **options: Any) -> Any:
        name = type(self).__module__.rpartition(".")[2]  # as Django finds the command
        if name in SERVING:
            return execute(self, *args, **options)
        with recorder.work(name, kind="command"):
            return execute(self, *args, **options)

    BaseCommand.execute = execute_recorded
