"""Mail that comes back, in the forms mail servers and mailboxes give it. All written for these tests.

`%(to)s` is the envelope sender of the message it is about.
"""

ORIGINAL = """Return-Path: <%(to)s>
From: AgentGuard status <status@portal.example>
To: ann@reader.example
Subject: [INC-42] Searches are slow
Message-ID: <inc-42.subscriber-17.0123456789abcdef@portal.example>

Update 1.
"""


def report(
    status: str,
    *,
    said: str = "",
    action: str = "failed",
    head: str = "",
    returned: str = "message/rfc822",
    words: str = "Your message could not be delivered.",
    status_type: str = "message/delivery-status",
) -> str:
    """A delivery status notification (RFC 3464)."""
    diagnostic = f"Diagnostic-Code: smtp; {said}\n" if said else ""
    return (
        f"Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.reader.example>\nTo: %(to)s\n{head}"
        "Subject: Undelivered Mail Returned to Sender\nMessage-ID: <%(id)s@mx.reader.example>\nMIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        f"--b\nContent-Type: text/plain\n\n{words}\n\n"
        f"--b\nContent-Type: {status_type}\n\nReporting-MTA: dns; mx.reader.example\n\n"
        f"Final-Recipient: rfc822; ann@reader.example\nAction: {action}\nStatus: {status}\n{diagnostic}\n"
        f"--b\nContent-Type: {returned}\n\n{ORIGINAL}\n--b--\n"
    )


NOTIFICATIONS = {
    "Postfix": report("5.1.1", said="550 5.1.1 <ann@reader.example>: unknown", head="Auto-Submitted: auto-replied\n"),
    "Exim": report("5.0.0", said="550 5.1.1 No such user here", head="Auto-Submitted: auto-replied\n"),
    "Sendmail": report("5.1.1 (bad destination mailbox address)", said="550 5.1.1 ... User unknown"),
    "Gmail": report("5.1.1", said="550-5.1.1 The email account that you tried to reach does not exist."),
    "Exchange": report("5.1.10", said="550 5.1.10 RESOLVER.ADR.RecipientNotFound", returned="text/rfc822-headers"),
    "a moved mailbox": report("5.1.6", said="550 5.1.6 Recipient no longer on server"),
    "a bad domain": report("5.1.2", said="5.1.2 Host unknown"),
    "a null MX": report("5.1.10", said="556 5.1.10 Domain does not accept mail (nullMX)"),
    "capitals": report("5.1.1", action="FAILED"),
    "a name in front": report("5.1.1").replace("To: %(to)s", 'To: "Status" <%(to)s>'),
    "a redirected mailbox": report("5.1.1").replace(
        "To: %(to)s", "To: postmaster@portal.example\nDelivered-To: %(to)s"
    ),
    "an internationalised one": report("5.1.1", status_type="message/global-delivery-status"),
}


def reply(head: str, *, kind: str = "text/plain", body: str = "I am away until Monday.") -> str:
    return (
        "Return-Path: <ann@reader.example>\nFrom: Ann <ann@reader.example>\nTo: %(to)s\nSubject: Out of office\n"
        f"Message-ID: <%(id)s@reader.example>\n{head}\nMIME-Version: 1.0\nContent-Type: {kind}\n\n{body}\n"
    )


VACATIONS = {
    "RFC 3834": reply("Auto-Submitted: auto-replied"),
    "Sieve": reply("Auto-Submitted: auto-replied (vacation)"),
    "Exchange": reply("Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All"),
    "cPanel": reply("X-Autorespond: Out of office\nPrecedence: auto_reply"),
    "Zimbra": reply("X-Autoreply: yes"),
    "one that names no kind": reply("Precedence: bulk", body="550 5.1.1 is what my old address says."),
    "one that quotes": reply(
        "Auto-Submitted: auto-replied",
        kind='multipart/mixed; boundary="b"',
        body=f"--b\n\nAway.\n--b\nContent-Type: message/rfc822\n\n{ORIGINAL}\n--b--",
    ),
    "one in a report's form": report("5.1.1", head="X-Autoreply: yes\nAuto-Submitted: auto-replied (vacation)\n"),
}
FORGED = {
    "another MAC": "bounce+%(key)s.00000000@portal.example",
    "the MAC of another message": "bounce+%(key)s.%(other_mac)s@portal.example",
    "no MAC": "bounce+%(key)s@portal.example",
    "another domain": "bounce+%(key)s.%(mac)s@portal.example.mallory.example",
    "another local part": "xbounce+%(key)s.%(mac)s@portal.example",
}


def complaint(kind: str = "abuse") -> str:
    """A complaint (ARF, RFC 5965): it comes to another mailbox and names the sender of what it is about."""
    return (
        "From: feedback@provider.example\nTo: abuse@portal.example\nSubject: Complaint\nMIME-Version: 1.0\n"
        "Message-ID: <%(id)s@provider.example>\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\n'
        "\n--b\nContent-Type: text/plain\n\nSomebody pressed the button.\n\n"
        "--b\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: {kind}\nUser-Agent: Provider/1.0\nVersion: 1\nOriginal-Mail-From: <%(to)s>\n\n"
        "--b\nContent-Type: message/rfc822\n\nFrom: status@portal.example\nSubject: [INC-42]\n\nUpdate.\n--b--\n"
    )
