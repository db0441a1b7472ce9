"""The kinds of incident as requirements 1.6 list them: family, whether an AI plays a part, the severity suggested."""

import pytest
import yaml

from incidents.policy.actions import PROFILES

SHIPPED = {row["code"]: row for row in yaml.safe_load((PROFILES / "taxonomy.yaml").read_text())}
KINDS = [
    ("T01", "operational", "no", 1, "outage"),  # covers T01
    ("T02", "operational", "no", 2, "above 2 s is High; above 500 ms it is Medium"),  # covers T02
    ("T03", "operational", "no", 1, "Database failure"),  # covers T03
    ("T04", "security", "no", 1, "DDoS"),  # covers T04
    ("T05", "security", "no", 1, "breach or unauthorised access"),  # covers T05
    ("T06", "security", "no", 1, "Credential or API-key"),  # covers T06
    ("T07", "operational", "maybe", 2, "Vendor or external API outage"),  # covers T07, R003-13
    ("T08", "security", "maybe", 2, "Critical if our personal data"),  # covers T08
    ("T09", "operational", "yes", 1, "runaway loop"),  # covers T09
    ("T10", "security", "yes", 2, "Critical if what it did cannot be undone"),  # covers T10
    ("T11", "security", "yes", 2, "Prompt injection: High; Critical if the agent acted on it"),  # covers T11, R003-11
    # covers T12, R003-08
    ("T12", "operational", "yes", 1, "Hallucination harm or unsafe output: Output that causes material harm"),
    ("T13", "compliance", "yes", 2, "Bias incident: Disparate impact in production decisions"),  # covers T13, R003-09
    ("T14", "security", "yes", 1, "training data, prompts, customer data"),  # covers T14, R003-10
    ("T15", "operational", "yes", 3, "High if a critical output path"),  # covers T15, R003-12
    ("T16", "compliance", "yes", 3, "Policy drift"),  # covers T16
    ("T17", "operational", "maybe", 2, "contaminated output"),  # covers T17
    ("T18", "security", "yes", 2, "a test reached production"),  # covers T18
    ("T19", "compliance", "yes", 2, "Production personal data in a training or evaluation pipeline"),  # covers T19
    ("T20", "operational", "maybe", 3, "above 150 % of the daily average"),  # covers T20
    ("T21", "operational", "no", 1, "Payment"),  # covers T21
    ("T22", "operational", "no", 3, "Backup"),  # covers T22
    ("T23", "compliance", "no", 2, "violation, audit failure"),  # covers T23
    ("T24", "operational", "no", 2, "Single integration"),  # covers T24
    ("T25", "operational", "no", 4, "Cosmetic, documentation or request"),  # covers T25
    ("T99", "operational", "maybe", None, "say in your own words what it is"),  # covers T99
]


# covers R002-01: injection, unsafe output, leak and drift are T11, T12, T14 and T16
@pytest.mark.parametrize(("code", "family", "ai", "rank", "words"), KINDS)
def test_each_kind_of_incident_is_of_its_family_and_suggests_its_severity(code, family, ai, rank, words):
    row = SHIPPED[code]
    assert (row["family"], row["ai"], row.get("rank")) == (family, ai, rank)
    assert words in f"{row['name']}: {row['why']}"


# covers R001-02
def test_the_kinds_are_these_and_of_three_families():
    assert list(SHIPPED) == [code for code, *_ in KINDS]
    assert {row["family"] for row in SHIPPED.values()} == {"security", "operational", "compliance"}
