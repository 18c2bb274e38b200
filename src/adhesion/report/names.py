"""What a report can print, by name; apart, for whoever only lists the names."""

from __future__ import annotations

FORMATS = ("table", "csv", "json", "markdown", "latex")

SHOWN = ("work", "energetics", "errors", "angles", "alloys")
"""Tables that a terminal gets where none is asked for."""

NAMES = (*SHOWN, "cells", "paper")
"""All tables."""
