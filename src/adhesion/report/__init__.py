"""From documents to rows, and from rows to tables and a figure."""

from __future__ import annotations
