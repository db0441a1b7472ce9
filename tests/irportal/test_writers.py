"""Many processes write at once: each waits for its turn, none is refused and no write is lost (reliability, R-T14)."""

import subprocess
import sys

import pytest
from django.conf import settings

from irportal.outbox.models import Channel

PROCESSES, TRANSACTIONS = 6, 60
WRITE = f"""
import irportal, django
django.setup()
from django.db import transaction
from irportal.outbox.models import Channel
for _ in range({TRANSACTIONS}):
    with transaction.atomic():
        row = Channel.objects.select_for_update().get(name="counter")
        row.fail_streak += 1
        row.save()
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_who_reads_and_then_writes_is_never_refused(process_env):
    Channel.objects.create(name="counter")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE], env=process_env, cwd=settings.BASE_DIR, stderr=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    failed = [said for writer in writers if (said := writer.communicate(timeout=120)[1]) and writer.returncode]

    assert failed == []
    assert Channel.objects.get(name="counter").fail_streak == PROCESSES * TRANSACTIONS
