"""What staff see of one maintenance besides its public text: who did what, and how many were told."""

import json
from typing import Any

from django.db.models import Count, Q

from irportal.ledger.models import Entry
from irportal.outbox.models import Announcement, Delivery
from statuspage.models import Maintenance


def record(maintenance: Maintenance) -> list[dict[str, Any]]:
    """Each deed in the ledger, newest first: when, what, by whom, how many mails left, or why nobody was told."""
    sent = Count("deliveries", filter=Q(deliveries__state=Delivery.State.SENT))
    mails = Announcement.objects.filter(thread=maintenance.ref).annotate(meant=Count("deliveries"), sent=sent)
    by_key = {mail.dedupe_key: mail for mail in mails}
    rows = []
    for entry in Entry.objects.filter(subject=maintenance.ref).order_by("-n"):
        said = json.loads(entry.line)
        facts = said["facts"]
        rows.append(
            {
                "at": entry.recorded_at,
                "what": entry.deed.removeprefix("maintenance."),
                "by": said["by"],
                "silent": facts.get("silent", ""),
                "mail": by_key.get(f"{maintenance.ref}:{facts.get('update')}"),
            }
        )
    return rows
