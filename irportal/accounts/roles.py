"""Which role may do what. Roles are Django groups; permissions are `app.codename`. Pure data."""

READ = {"incidents.view_incident"}
RESPOND = READ | {"incidents.declare_incident", "incidents.update_incident", "incidents.draft_message"}
COMMAND = RESPOND | {"incidents.command_incident", "incidents.approve_postmortem"}
PUBLISH = RESPOND | {"incidents.publish_message", "incidents.waive_duty", "incidents.approve_postmortem"}
SETTINGS = {
    f"{app}.{verb}_{model}"
    for app, model in [
        ("statuspage", "componentgroup"),
        ("statuspage", "component"),
        ("incidents", "customer"),
        ("accounts", "user"),
    ]
    for verb in ("view", "add", "change", "delete")
} | {
    "incidents.view_policyversion",
    "incidents.view_incidenttype",
    "statuspage.view_subscriber",
    "ledger.view_entry",
    "outbox.view_delivery",
}

ROLES = {
    "viewer": READ,
    "responder": RESPOND,
    "commander": COMMAND,
    "publisher": PUBLISH,
    "admin": COMMAND | PUBLISH | SETTINGS,
}
