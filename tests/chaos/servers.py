"""PostgreSQL and Redis of our own on free ports of 127.0.0.1, to be broken. No other server is ever touched."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from tests.relay import free_port


def until(true: Callable[[], object], *, seconds: float, what: str) -> None:
    """Wait until `true()` is; raise TimeoutError saying what never came."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds} s still not: {what}")
        time.sleep(0.1)


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = shutil.which("pg_ctl")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


class Postgres:
    """A cluster of its own. PostgreSQL refuses root: there it runs as the user postgres."""

    def __init__(self, folder: Path) -> None:
        programs = postgres_programs()
        assert programs, "PostgreSQL's initdb is not installed"
        self.programs, self.data, self.port = programs, folder / "postgres", free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/portal"
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.data.mkdir()
        if self.as_user:
            for place in (folder, *folder.parents):
                with suppress(PermissionError):
                    place.chmod(place.stat().st_mode | 0o055) if place.owner() == "root" else None
            shutil.chown(self.data, "postgres")
        self._run("initdb", "-A", "trust", "-U", "postgres", "-D", str(self.data))
        self.start()
        with psycopg.connect(self.url.rpartition("/")[0] + "/postgres", autocommit=True) as server:
            server.execute("CREATE DATABASE portal")

    def _run(self, program: str, *args: str) -> None:
        command = [*self.as_user, str(self.programs / program), *args]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data}"
        self._run("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.data / "log"), "-o", options, "start")

    def crash_and_restart(self) -> None:
        """Every backend dies at once, without a checkpoint; recovery follows."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")
        self.start()

    def end_all_sessions(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'portal' AND pid <> "
                "pg_backend_pid()"
            )

    def signal(self, number: int) -> None:
        """To every process of the cluster: SIGSTOP freezes it, so that it accepts and never answers.

        The postmaster is held while its children are listed: one that it begins afterwards would be missed.
        """
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)
        family = subprocess.run(["ps", "-o", "pid=", "--ppid", str(first)], capture_output=True, text=True).stdout
        for pid in (first, *map(int, family.split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")


class Redis:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        until(self.answers, seconds=20, what="an answer from Redis")

    def answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis(port=self.port, socket_timeout=1) as client:
            return bool(client.ping())
        return False

    def kill_and_restart(self) -> None:
        """It comes back empty."""
        self.process.kill()
        self.process.wait()
        self.start()

    def flush(self) -> None:
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            client.flushall()

    def freeze(self, seconds: float) -> None:
        """Connections are accepted and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
