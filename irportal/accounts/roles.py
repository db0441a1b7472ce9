"""Which role may do what. Roles are Django groups; permissions are `app.codename`. Pure data."""

READ = {"incidents.view_incident"}
RESPOND = READ | {
    "incidents.declare_incident",
    "incidents.update_incident",
    "incidents.draft_message",
    "incidents.read_evidence",
}
EVIDENCE = {"incidents.hold_evidence", "incidents.export_evidence"}
COMMAND = (
    RESPOND
    | EVIDENCE
    | {
        "incidents.command_incident",
        "incidents.approve_postmortem",
        "incidents.write_runbook",
        "incidents.propose_policy",
        "incidents.approve_policy",
    }
)
PUBLISH = (
    RESPOND
    | EVIDENCE
    | {
        "incidents.publish_message",
        "incidents.waive_duty",
        "incidents.approve_postmortem",
        "outbox.resend_delivery",
        "statuspage.plan_maintenance",
    }
)
EDITED = [
    "statuspage.componentgroup",
    "statuspage.component",
    "statuspage.vendor",
    "statuspage.customer",
    "statuspage.brand",
    "incidents.rolecontact",
    "incidents.servicecommand",
    "incidents.servicelink",
    "outbox.endpoint",
]
SEEN = [
    "accounts.user",
    "incidents.policyprofile",
    "incidents.policyversion",
    "incidents.severitylevel",
    "incidents.notifyrule",
    "incidents.escalationrule",
    "incidents.approvalrule",
    "incidents.matrixcell",
    "incidents.commobligation",
    "incidents.incidenttype",
    "statuspage.subscriber",
    "ledger.entry",
    "outbox.delivery",
]
# People are created by `manage.py staff` and never deleted. Of subscribers only the end can be changed.
CHANGED = ["accounts.user", "statuspage.subscriber"]


def _may(verb: str, models: list[str]) -> set[str]:
    return {name.replace(".", f".{verb}_") for name in models}


SETTINGS = _may("view", EDITED + SEEN) | _may("add", EDITED) | _may("change", EDITED + CHANGED) | _may("delete", EDITED)

ROLES = {
    "viewer": READ,
    "responder": RESPOND,
    "commander": COMMAND,
    "publisher": PUBLISH,
    "admin": COMMAND | PUBLISH | SETTINGS,
}
