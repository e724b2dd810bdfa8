"""Faults: every way in which this service is broken on purpose, and who does it when.

A fault is drawn by the seed; where it would strike what is already dead, it is put off.
"""

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
import redis

from nst_jobs.queue import QUEUE, Queue, make_celery
from tests.chaos.journal import Journal, is_busy
from tests.chaos.orders import LEASE_SECONDS
from tests.chaos.programs import Program, send
from tests.chaos.stage import Stage

_PAUSE_SECONDS = (0.3, 2.0)
_FROZEN_BROKER_SECONDS = 3.0
_FULL_DISK_SECONDS = 1.0
_WAKE_UPS = 5


@dataclass(frozen=True)
class Fault:
    """What was done when, and to which processes."""

    at: float
    kind: str
    pids: tuple[int, ...] = ()


class Saboteur:
    """Does faults to a stage, and undoes those that end by themselves."""

    def __init__(self, stage: Stage, *, seed: int) -> None:
        self.stage = stage
        #: Of victims. When and what is another's matter, lest it depend on who is alive.
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self._schedule = random.Random(seed)  # noqa: S311 - no secret
        self.faults: list[Fault] = []
        self._timers: list[threading.Timer] = []
        self._journal = Journal(stage.orders.journal)
        self._queue = Queue(make_celery(stage.settings))

    def run(self, deck: Sequence[str], *, seconds: float) -> None:
        """Do faults every now and then, then wait until nothing is broken any more.

        The deck is shuffled and played to its end, again and again, so that none is left out.
        """
        end = time.monotonic() + seconds
        cards: list[str] = []
        while time.monotonic() < end:
            time.sleep(self._schedule.uniform(*_PAUSE_SECONDS))
            cards = cards or self._schedule.sample(deck, len(deck))
            if cards and not self.do(cards[-1]):
                cards.insert(0, cards[-1])  # its victim was dead: later
            cards = cards[:-1]
        for timer in self._timers:
            timer.join()
        self._queue.close()

    def do(self, kind: str) -> bool:
        """Do one fault; return whether there was anything to do it to."""
        at = time.time()
        pids = KINDS[kind](self)
        if pids is None:
            return False
        self.faults.append(Fault(at, kind, pids))
        self._journal.write(f"fault: {kind}", step=len(pids))
        return True

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done after a while."""
        timer = threading.Timer(seconds, action)
        self._timers.append(timer)
        timer.start()

    def node(self) -> Program:
        """Draw a worker, of those that compute if any does."""
        folder = self.stage.orders.journal
        busy = [
            node
            for node in self.stage.nodes
            if any(is_busy(folder, child.pid) for child in node.children())
        ]
        return self.random.choice(busy or self.stage.nodes)

    def freeze(self, processes: list[psutil.Process], seconds: float) -> tuple[int, ...] | None:
        """Stop processes for a while."""
        self.later(seconds, lambda: send(signal.SIGCONT, processes))
        return send(signal.SIGSTOP, processes) or None

    def wake_often(self) -> tuple[int, ...]:
        """Publish wake-ups that nobody needs."""
        for _ in range(_WAKE_UPS):
            self._queue.wake()
        return ()

    def ask_broker(self, *command: str) -> tuple[int, ...] | None:
        """Send the broker a command that does harm."""
        path = str(self.stage.broker_socket)
        with (
            suppress(redis.RedisError),
            redis.Redis(unix_socket_path=path, socket_timeout=1) as client,
        ):
            client.execute_command(*command)
            return ()
        return None

    def fill_disk(self) -> tuple[int, ...]:
        """Have the disk full for a while."""
        flag = self.stage.orders.full_disk
        flag.touch()
        self.later(_FULL_DISK_SECONDS, lambda: flag.unlink(missing_ok=True))
        return ()

    def crash_database(self) -> tuple[int, ...] | None:
        """Kill PostgreSQL and start it again."""
        return self.stage.postgres.crash() if self.stage.postgres else None


def _all(program: Program) -> list[psutil.Process]:
    """Return the first process of a program before the others, that it may not replace them."""
    main = program.main
    return [main, *program.children()] if main else []


def _main(program: Program) -> list[psutil.Process]:
    return _all(program)[:1]


def _kill(processes: list[psutil.Process]) -> tuple[int, ...] | None:
    return send(signal.SIGKILL, processes) or None


def _terminate(processes: list[psutil.Process]) -> tuple[int, ...] | None:
    return send(signal.SIGTERM, processes) or None


def _outlive_lease(saboteur: Saboteur, processes: list[psutil.Process]) -> tuple[int, ...] | None:
    return saboteur.freeze(processes, LEASE_SECONDS + saboteur.random.uniform(1, 3))


#: Each returns the ids of the processes that it struck, or None when there was nothing to strike.
KINDS: dict[str, Callable[[Saboteur], tuple[int, ...] | None]] = {
    "kill child": lambda s: _kill(s.node().children()),
    "kill main": lambda s: _kill(_main(s.node())),
    "kill node": lambda s: _kill(_all(s.node())),
    "term main": lambda s: _terminate(_main(s.node())),
    "term node": lambda s: _terminate(_all(s.node())),
    "zombie child": lambda s: _outlive_lease(s, s.node().children()),
    "zombie node": lambda s: _outlive_lease(s, _all(s.node())),
    "kill broker": lambda s: _kill(_main(s.stage.broker)),
    "freeze broker": lambda s: s.freeze(_main(s.stage.broker), _FROZEN_BROKER_SECONDS),
    "flush broker": lambda s: s.ask_broker("FLUSHALL"),
    "cut clients": lambda s: s.ask_broker("CLIENT", "KILL", "TYPE", "normal"),
    "lose wake-up": lambda s: s.ask_broker("LPOP", QUEUE),
    "repeat wake-up": Saboteur.wake_often,
    "kill database": Saboteur.crash_database,
    "kill api": lambda s: _kill(_all(s.stage.api)),
    "kill api process": lambda s: _kill(s.stage.api.children()[:1]),
    "full disk": Saboteur.fill_disk,
}

#: Every kind once, and most often what takes a worker's job and soon gives the worker back.
EVERYTHING = (*KINDS, *["kill child"] * 5, "kill node")
