"""The checks of ``doctor``: what was found and, where something is wrong, how to mend it."""

from mrseg_label.maintenance.checks.check import Check, State
from mrseg_label.maintenance.checks.installation import check_installation
from mrseg_label.maintenance.checks.workspace import check_workspace

__all__ = ["Check", "State", "check_installation", "check_workspace"]
