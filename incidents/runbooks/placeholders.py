"""What stands for a service's own command or link in a runbook, like {{ health }}, and what fills it. Pure."""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Commands and links runbooks ask for. The first eight and the first six are those of a plan's appendices.
COMMANDS = {
    "health": "health check",
    "metrics": "metrics",
    "critical_endpoint": "test of the critical endpoint",
    "database": "database check",
    "cache": "cache check",
    "deploys": "recent deployments",
    "rollback": "rollback",
    "restart": "restart",
    "scale": "scaling up",
    "failover": "failing over",
    "maintenance_mode": "maintenance mode",
    "disable_feature": "switching a feature off",
    "isolate": "isolating a system",
    "rotate_secrets": "emergency rotation of secrets",
    "access_log": "reading the access log",
    "block_traffic": "blocking traffic",
    "restore_database": "restoring the database",
    "row_count": "counting rows that must be there",
    "kill_query": "ending a long query",
    "vendor_call": "direct call to the vendor",
    "load_test": "load test",
    "kill_switch": "kill switch",
    "agent_status": "asking whether the agent halted",
    "policy_mode": "emergency policy mode",
    "fallback_model": "fallback provider or model",
    "snapshot": "snapshot of requests and decisions",
    "audit_trail": "audit trail",
    "audit_complete": "proof that the audit trail is complete",
    "model_rollback": "model rollback",
    "model_version": "version the model endpoint serves",
    "evals": "evaluation run",
    "freeze_model": "freezing model updates",
    "revoke_credential": "revoking a credential",
    "stop_pipeline": "stopping a training or evaluation job",
    "sample_outputs": "sample of outputs",
}
LINKS = {
    "hosting": "hosting dashboard",
    "errors": "error tracker",
    "cdn": "content delivery and firewall",
    "payments": "payments dashboard",
    "model_status": "status page of the model provider",
    "source": "source repository",
    "logs": "log viewer",
    "tool_boundary": "tool boundary of the agent",
    "gate_log": "log of the pre-tool-call gate",
    "vendor_register": "register of vendors",
    "ai_dashboard": "dashboard of AI failure signals",
    "dataset_lineage": "lineage of data sets",
}
FACTS = {
    "incident": "reference of the incident",
    "channel": "channel of the incident",
    "started": "start of the impact",
}
KNOWN = COMMANDS | LINKS | FACTS
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
PLACEHOLDER = re.compile(r"\{\{[ \t]*([a-z][a-z0-9_]{0,39})[ \t]*\}\}", re.ASCII)
ATTEMPT = re.compile(r"\{\{[ \t]*[^\W\d_][^}\n]*(?:\}\}?)?")  # {{.Name}} of other tools is none


@dataclass(frozen=True)
class Value:
    text: str
    is_link: bool = False


@dataclass(frozen=True)
class Part:
    """A piece of a filled text: words, or a gap that names what is missing."""

    text: str
    is_gap: bool = False


@dataclass(frozen=True)
class Filled:
    parts: tuple[Part, ...]
    service: str = ""  # whose commands these are; empty for the organisation's

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)

    @property
    def is_only_gap(self) -> bool:
        return len(self.parts) == 1 and self.parts[0].is_gap

    @property
    def gaps(self) -> list[str]:
        return list(dict.fromkeys(part.text for part in self.parts if part.is_gap))


def words(name: str) -> str:
    """What a placeholder stands for, for people: `rotate_secrets` is the emergency rotation of secrets."""
    return KNOWN.get(name, name.replace("_", " "))


def spoken(text: str) -> str:
    """A text with its placeholders as words, for where nothing is filled in."""
    return PLACEHOLDER.sub(lambda found: words(found[1]), text)


def names(*texts: str) -> list[str]:
    """The placeholders in these texts, each once, in order."""
    return list(dict.fromkeys(found[1] for text in texts for found in PLACEHOLDER.finditer(text)))


def unreadable(text: str) -> str:
    """The first thing in a text that wants to be a placeholder and is none; empty when there is none."""
    found = ATTEMPT.search(PLACEHOLDER.sub("", text))
    return found[0] if found else ""


def fill(text: str, values: Mapping[str, Value], *, service: str = "") -> Filled:
    """A command with what is known put in. A link is quoted where a shell would read more into it."""
    parts, end = [], 0
    for found in PLACEHOLDER.finditer(text):
        parts.append(Part(text[end : found.start()]))
        value = values.get(found[1])
        if value is None or not value.text.strip():
            parts.append(Part(words(found[1]), is_gap=True))
        else:
            parts.append(Part(shlex.quote(value.text) if value.is_link else value.text))
        end = found.end()
    return Filled(tuple(part for part in [*parts, Part(text[end:])] if part.text), service)


def for_services(
    command: str, services: Iterable[tuple[str, Mapping[str, Value]]], shared: Mapping[str, Value]
) -> list[Filled]:
    """The command once for each affected service that has values of its own for it, else once with the shared ones."""
    asked = set(names(command))
    own = [fill(command, {**shared, **values}, service=name) for name, values in services if asked.intersection(values)]
    return own or [fill(command, shared)]


def filled_prose(text: str, values: Mapping[str, Value]) -> str:
    """Markdown with links and values put in; what nothing fills is said in words."""

    def put(found: re.Match[str]) -> str:
        value, label = values.get(found[1]), words(found[1])
        if value is None and found[1] in FACTS:
            return f"*{label}*"  # known once there is an incident
        if value is None or not value.text.strip():
            return f"**{label}: not set**"
        return f"[{label}](<{value.text}>)" if value.is_link else f"`{value.text}`"

    return PLACEHOLDER.sub(put, text)
