"""Index of the subjects' settings pages; nothing is defined here."""

from incidents.lifecycle import admin as lifecycle
from incidents.policy import admin as policy
from incidents.runbooks import admin as runbooks

__all__ = ["lifecycle", "policy", "runbooks"]
