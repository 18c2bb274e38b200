"""``python -m adhesion``."""

from adhesion.cli import entry

entry()
