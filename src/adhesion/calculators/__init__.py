"""From a calculator's name to its resolved settings, checked before use.

The atomate2 makers stand in `adhesion.calculators.makers`, which is slow to import.
"""

from __future__ import annotations

from adhesion.calculators.registry import alone, check, identity, resolve

__all__ = ["alone", "check", "identity", "resolve"]
