"""Words that may name a cause, exposed data, liability or compensation. Pure.

Such an update needs the approvals of a formal notice (requirements C-07). The check proposes and never decides: it
finds too much rather than too little, the author answers, and the answer is on record. It knows English only.
"""

import re

CAUSE = r"""
cause[sd]? causing because due.to owing.to (?:as.a|the).result.of resulted.from reasons? triggered.by
traced.(?:back.)?to mistakes? human.error misconfigur\w+ bugs? defects? flaws? vulnerabilit(?:y|ies) attack\w* hack\w*
malicious\w* ransom\w*
"""
DATA = r"""
data personal.information records? privacy expos(?:e|es|ed|ing|ure) disclos\w+ leak\w* breach\w* compromis\w+ stolen
theft exfiltrat\w+ unauthori[sz]ed intru\w+ credentials? passwords? tokens? keys? accessed
"""
LIABILITY = r"""
liab\w+ responsib\w+ fault negligen\w+ guarantee\w* warrant\w+ obligat\w+ legal\w* law lawsuit\w* sue[ds]? court
contract\w* regulator\w* violat\w+ admit\w*
"""
COMPENSATION = r"""
compensat\w+ refund\w* reimburs\w+ credit(?:s|ed|ing)? damages indemn\w+ goodwill waive[ds]? free.of.charge discount\w*
sla slas service.levels? pay(?:s|ing)?.for money.back
"""
_PATTERN = re.compile(
    rf"\b(?:{'|'.join(f'{CAUSE} {DATA} {LIABILITY} {COMPENSATION}'.split())})\b".replace(".", r"[\s\-]+"),
    re.IGNORECASE,
)


def assertions(text: str) -> list[str]:
    """The words of the text that may assert one of the four, as they stand there, each once, in their order."""
    found = (" ".join(hit[0].lower().split()) for hit in _PATTERN.finditer(text))
    return list(dict.fromkeys(found))
