"""Django's commands for this project."""

import os
import sys

from django.core.management import execute_from_command_line
from django_chest import record_commands

from chest import Recorder

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
    record_commands(Recorder(service="mysite"))
    execute_from_command_line(sys.argv)
