"""Real processes, killed as the kernel kills: nothing is lost, and at most the message in flight is repeated."""

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from irportal.outbox.models import Attempt, Delivery, Pulse
from tests.factories import announcement

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
READERS = [f"reader{n}@reader.example" for n in range(30)]


def tell(*addresses: str) -> None:
    """Announce to an audience that processes of their own know, too."""
    announcement(audience="addresses", facts={"addresses": list(addresses)})


def engine_once(env: dict[str, str], **more: str) -> int:
    """Run one turn of `manage.py engine` to its end, whatever end that is; return its exit code."""
    return subprocess.run([*MANAGE, "engine", "--once"], env=env | more, timeout=180, check=False).returncode


def let_leases_end() -> None:
    """What a minute and a half of waiting does."""
    Delivery.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))


def assert_nothing_lost_and_repeats_alike(relay, *, kills: int) -> None:
    assert set(relay.addresses) == set(READERS)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    repeated = {address for address, count in Counter(relay.addresses).items() if count > 1}
    assert len(relay.taken) - len(READERS) <= kills
    for address in repeated:
        assert len({taken.data for taken in relay.taken if taken.recipients == [address]}) == 1


def test_an_engine_killed_between_send_and_commit_repeats_that_one_message_with_the_same_bytes(smtp_relay, process_env):
    tell(*READERS)
    assert engine_once(process_env, PORTAL_CRASH_AT="after_send_before_commit") == -signal.SIGKILL
    assert Attempt.objects.filter(finished_at=None).count() == 1

    let_leases_end()
    assert engine_once(process_env) == 0
    assert len(smtp_relay.taken) == len(READERS) + 1
    assert_nothing_lost_and_repeats_alike(smtp_relay, kills=1)


@pytest.fixture
def worker_env(request, process_env, tmp_path) -> dict[str, str]:
    """For a Celery worker with its own clock, on the broker the test asks for."""
    for folder in ("queue", "control", "processed"):
        (tmp_path / "broker" / folder).mkdir(parents=True)
    env = process_env | {"VAR_DIR": str(tmp_path)}
    if request.param == "redis":
        env |= {"REDIS_URL": request.getfixturevalue("redis_url"), "REDIS_PREFIX": f"test-{os.getpid()}:"}
    return env


@pytest.fixture
def worker(worker_env, tmp_path):
    """`celery worker -B` in a process group of its own."""
    command = [sys.executable, "-m", "celery", "-A", "irportal", "worker", "-B", "--concurrency", "2"]
    process = subprocess.Popen(command, env=worker_env, cwd=settings.BASE_DIR, start_new_session=True)
    yield process
    kill_all(process)
    process.wait(10)


def kill_all(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("worker_env", ["filesystem", "redis"], indirect=True)
def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing(smtp_relay, worker, process_env):
    tell(*READERS)
    smtp_relay.before_answer = lambda count: kill_all(worker) if count == 7 else None
    smtp_relay.wait_for(7)
    worker.wait(10)
    assert Pulse.objects.seen(timezone.now())["alive"]
    assert Delivery.objects.waiting().exists()

    let_leases_end()
    assert engine_once(process_env) == 0
    assert_nothing_lost_and_repeats_alike(smtp_relay, kills=1)


@pytest.mark.parametrize("worker_env", ["filesystem"], indirect=True)
def test_the_worker_keeps_its_own_time(smtp_relay, worker):
    tell("first@reader.example")
    smtp_relay.wait_for(1)
    tell("second@reader.example")
    smtp_relay.wait_for(2, seconds=30)
