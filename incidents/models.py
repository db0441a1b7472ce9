"""Index of the subjects' models; nothing is defined here."""

from incidents.comms.models import CommsDuty, Customer, Message
from incidents.lifecycle.models import (
    Incident,
    IncidentComponent,
    RoleAssignment,
    RoleContact,
    SeverityChange,
    TimelineEntry,
)
from incidents.policy.models import (
    CommObligation,
    IncidentType,
    MatrixCell,
    NotifyRule,
    PolicyProfile,
    PolicyVersion,
    SeverityLevel,
)
from incidents.postmortems.models import ActionItem, PostMortem

__all__ = [
    "ActionItem",
    "CommObligation",
    "CommsDuty",
    "Customer",
    "Incident",
    "IncidentComponent",
    "IncidentType",
    "MatrixCell",
    "Message",
    "NotifyRule",
    "PolicyProfile",
    "PolicyVersion",
    "PostMortem",
    "RoleAssignment",
    "RoleContact",
    "SeverityChange",
    "SeverityLevel",
    "TimelineEntry",
]
