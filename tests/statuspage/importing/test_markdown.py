"""cState's files and Upptime's issues."""

import json
from datetime import UTC, datetime

import pytest

from statuspage.models import Component, Notice
from tests.statuspage.importing.test_cachet import steps

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("freezer")]

TRACKED = """---
title: Mail is late
date: 2026-02-10 09:00:00
resolved: true
resolvedWhen: 2026-02-10 10:00:00
# Possible severity levels: down, disrupted, notice
severity: disrupted
affected:
  - Mail
  - Search
section: issue
---

*Resolved* - All mails have left. {{< track "2026-02-10 10:00:00" >}}

**Monitoring**: The relay is back. {{< track "2026-02-10 09:40:00" >}}

[Update] We found the <b>relay</b>. {{< track "2026-02-10 09:20:00" >}}

*Just began* - Mails wait. <!-- the pager rang at 8 --> {{< track "2026-02-10 09:00:00" >}}
"""
PLAIN = """---
section: issue
title: Search is down
date: 2026-02-11T10:00:00+01:00
resolved: yes
resolvedWhen: 2026-02-11T11:30:00+01:00
severity: down
affected: [Search]
---
Nothing is found.

{{< youtube w7Ft2ymGmfc >}}
"""
CONFIG = """
title: Example
params:
  categories:
    - name: Platform
      description: What others stand on
    - name: Tools
  systems:
    - name: Mail
      category: Platform
      description: Sends and receives
    - name: Fax
      category: Tools
"""


def test_a_file_with_tracked_updates_is_an_incident_with_them(take_over):
    take_over({"content/issues/2026-02-10-mail.md": TRACKED, "config.yml": CONFIG}, "--write")
    notice = Notice.objects.get()

    assert steps(notice) == [
        ("investigating", "2026-02-10 09:00"),
        ("investigating", "2026-02-10 09:20"),
        ("monitoring", "2026-02-10 09:40"),
        ("resolved", "2026-02-10 10:00"),
    ]
    assert [update.body for update in reversed(notice.updates.all())] == [
        "*Just began* - Mails wait.",
        "We found the **relay**.",
        "The relay is back.",
        "All mails have left.",
    ]
    assert notice.impact == "major"
    assert notice.resolved_at == datetime(2026, 2, 10, 10, tzinfo=UTC)


def test_its_systems_and_categories_are_components_and_groups(take_over):
    take_over({"content/issues/2026-02-10-mail.md": TRACKED, "config.yml": CONFIG}, "--write")

    assert set(Component.objects.values_list("name", "group__name", "description")) == {
        ("Mail", "Platform", "Sends and receives"),
        ("Fax", "Tools", ""),
        ("Search", None, ""),
    }


def test_a_file_with_one_text_ends_when_it_says(take_over):
    take_over({"search.md": PLAIN}, "--write")
    notice = Notice.objects.get()

    assert steps(notice) == [("investigating", "2026-02-11 09:00"), ("resolved", "2026-02-11 10:30")]
    assert [update.body for update in notice.updates.all()] == ["Resolved.", "Nothing is found."]
    assert [(hit.component.name, hit.state) for hit in notice.hits.all()] == [("Search", "major_outage")]


def test_the_same_site_again_changes_nothing(take_over):
    given = {"content/issues/mail.md": TRACKED, "content/issues/search.md": PLAIN, "config.yml": CONFIG}
    take_over(given, "--write")

    assert "incidents          0         0         2         0" in take_over(given, "--write")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("severity: disrupted", "severity: awful"), "its severity 'awful' is unknown"),
        (("date: 2026-02-10 09:00:00\n", ""), "does not say when it began"),
        (("resolved: true", "resolved: false"), "its updates say that it is resolved, and it says that it is not"),
        (("title: Mail", "title: [Mail"), "its front matter is no YAML"),
        (("section: issue", "section: issue\ndraft: true"), "it is a draft"),
        (('track "2026-02-10 09:40:00"', 'track "soon"'), "'soon' is no instant"),
        (("  - Mail\n  - Search\n", "  Mail: yes\n"), "what it affected is not a list"),
        (("resolvedWhen: 2026-02-10 10", "resolvedWhen: 2026-02-10 08"), "cannot be resolved before it started"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_its_reason(take_over, change, reason):
    said = take_over({"content/issues/mail.md": TRACKED.replace(*change), "content/issues/ok.md": PLAIN}, "--write")

    assert "content/issues/mail.md, " in said
    assert reason in said
    assert Notice.objects.get().title == "Search is down"


def test_other_pages_of_a_site_are_none_of_its_incidents(take_over):
    given = {
        "content/issues/search.md": PLAIN,
        "content/issues/_index.md": "---\ntitle: All\n---\n",
        "content/pages/about.md": "---\ntitle: About\n---\nUs.",
        "README.md": "# Read me",
        "content/issues/broken.md": "No front matter.",
    }
    said = take_over(given)

    assert "incidents          1         0         0         1" in said
    assert "content/issues/broken.md" in said


# Upptime

SITES = """
owner: example
sites:
  - name: Mail
    url: https://mail.example.org
  - name: Search & Find
    url: $SECRET
    slug: search
"""
HISTORY = "url: https://mail.example.org\nstatus: up\nstartTime: 2026-02-01T07:54:39.000Z\n"
DOWN = {
    "number": 17,
    "title": "🛑 Mail is down",
    "body": "In [`ab12cd3`](https://github.example/ab12cd3), Mail (https://mail.example.org) was **down**:\n- HTTP 0",
    "state": "CLOSED",
    "createdAt": "2026-02-10T09:00:00Z",
    "closedAt": "2026-02-10T10:00:02Z",
    "labels": [{"name": "status"}, {"name": "mail"}],
    "comments": [
        {"id": "IC_1", "createdAt": "2026-02-10T09:20:00Z", "body": "We restart it."},
        {"id": "IC_2", "createdAt": "2026-02-10T10:00:00Z", "body": "**Resolved:** Mail is back up in `ab12cd4`."},
        {"id": "IC_3", "createdAt": "2026-02-10T12:00:00Z", "body": "It was the disk."},
    ],
}
SLOW = {
    "number": 18,
    "title": "⚠️ Search & Find has degraded performance",
    "body": "",
    "state": "closed",
    "created_at": "2026-02-11T09:00:00Z",
    "closed_at": "2026-02-11T09:30:00Z",
    "labels": ["status", "search"],
    "comments": 0,
}


def upptime(*issues: dict) -> dict[str, str]:
    return {".upptimerc.yml": SITES, "history/mail.yml": HISTORY, "issues.json": json.dumps(issues)}


def test_an_issue_is_an_incident_of_its_site(take_over):
    take_over(upptime(DOWN, SLOW), "--write")
    down, slow = Notice.objects.get(title="Mail is down"), Notice.objects.get(title__startswith="Search")

    assert steps(down) == [
        ("investigating", "2026-02-10 09:00"),
        ("investigating", "2026-02-10 09:20"),
        ("resolved", "2026-02-10 10:00"),
        ("resolved", "2026-02-10 12:00"),
    ]
    assert steps(slow) == [("investigating", "2026-02-11 09:00"), ("resolved", "2026-02-11 09:30")]
    assert (down.impact, slow.impact) == ("critical", "minor")
    assert down.resolved_at == datetime(2026, 2, 10, 10, 0, 2, tzinfo=UTC)
    assert [hit.component.name for hit in slow.hits.all()] == ["Search & Find"]


def test_a_site_is_a_component_since_it_is_watched(take_over):
    take_over(upptime(DOWN), "--write")

    assert Component.objects.get(name="Mail").created_at == datetime(2026, 2, 1, 7, 54, 39, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"closedAt": None}, "it is not resolved there"),
        ({"labels": ["status", "maintenance"]}, "maintenance"),
        ({"createdAt": None}, "does not say when it was opened"),
        ({"comments": [3]}, "its comments are not a list of objects"),
    ],
)
def test_an_issue_that_makes_no_sense_is_named_with_its_reason(take_over, given, reason):
    said = take_over(upptime(DOWN | given, SLOW), "--write")

    assert "issues.json record 1" in said
    assert reason in said
    assert Notice.objects.count() == 1


def test_an_issue_about_something_else_is_left_alone(take_over):
    said = take_over(upptime(DOWN | {"labels": ["question"]}, DOWN | {"pull_request": {}}))

    assert "incidents          0         0         0         0" in said
