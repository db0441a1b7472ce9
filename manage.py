#!/usr/bin/env python
"""Django's command line for the incident portal."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "irportal.settings")
    from django.core.management import execute_from_command_line

    import irportal  # noqa: F401  (swaps SQLite before Django imports it)

    execute_from_command_line(sys.argv)
