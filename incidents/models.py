"""Index of the subjects' models; nothing is defined here."""

from incidents.comms.models import Approval, CommsDuty, Escalation, LegalDeadline, Message
from incidents.evidence.models import AiContext, AiDecision, CustodyLine, EvidenceItem, Hold
from incidents.lifecycle.models import (
    Incident,
    IncidentComponent,
    RoleAssignment,
    RoleContact,
    SeverityChange,
    TimelineEntry,
)
from incidents.policy.models import (
    ApprovalRule,
    CommObligation,
    EscalationRule,
    IncidentType,
    MatrixCell,
    NotifyRule,
    PolicyProfile,
    PolicyVersion,
    SeverityLevel,
)
from incidents.postmortems.models import ActionItem, PostMortem
from incidents.runbooks.models import (
    Runbook,
    RunbookRun,
    RunbookStep,
    RunbookVersion,
    RunStep,
    ServiceCommand,
    ServiceLink,
    StepChange,
)

__all__ = [
    "ActionItem",
    "AiContext",
    "AiDecision",
    "Approval",
    "ApprovalRule",
    "CommObligation",
    "CommsDuty",
    "CustodyLine",
    "Escalation",
    "EscalationRule",
    "EvidenceItem",
    "Hold",
    "Incident",
    "IncidentComponent",
    "IncidentType",
    "LegalDeadline",
    "MatrixCell",
    "Message",
    "NotifyRule",
    "PolicyProfile",
    "PolicyVersion",
    "PostMortem",
    "RoleAssignment",
    "RoleContact",
    "RunStep",
    "Runbook",
    "RunbookRun",
    "RunbookStep",
    "RunbookVersion",
    "ServiceCommand",
    "ServiceLink",
    "SeverityChange",
    "SeverityLevel",
    "StepChange",
    "TimelineEntry",
]
