"""The clients: threads that submit over HTTP until they are told that their jobs were accepted."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from tests.chaos import workload

CLIENTS = 6
_TIMEOUT_SECONDS = 10.0
_RETRY_SECONDS = 0.25
_CANCEL_SHARE = 0.08
_REPEAT_SHARE = 0.1
_FIELD = "ticket"
_ACCEPTED = (200, 202)
#: Try again: the first try is still under way, too many of them, or a part is down.
_AGAIN = (409, 429)


@dataclass
class Ticket:
    """A job that a client wants, and what it was told about it."""

    name: str
    params: dict[str, object]
    #: Ids of the answers that accepted it; one, where the key is heeded.
    job_ids: list[str] = field(default_factory=list)
    #: The answer that no retry mends.
    refused: str = ""
    cancel_asked: bool = False


class Clients:
    """Several clients, each with its share of the tickets."""

    def __init__(self, url: str, *, seed: int) -> None:
        self.tickets: list[Ticket] = []
        #: Answers by status; 0 counts the connections that gave none.
        self.answers: Counter[int] = Counter()
        self.keys_heeded = False
        self._url = url
        self._seed = seed
        self._deadline = 0.0
        self._threads: list[threading.Thread] = []

    def start(self, params: Sequence[dict[str, object]], *, seconds: float, grace: float) -> None:
        """Spread submissions over some seconds; what is not accepted by the grace's end is not."""
        self._probe_keys()
        self._deadline = time.monotonic() + seconds + grace
        tickets = [Ticket(f"{self._seed}-{n}", each) for n, each in enumerate(params)]
        self.tickets += tickets
        for number in range(CLIENTS):
            mine = tickets[number::CLIENTS]
            pause = seconds / max(1, len(mine))
            thread = threading.Thread(target=self._work, args=(number, mine, pause), daemon=True)
            thread.start()
            self._threads.append(thread)

    def finish(self) -> None:
        """Wait until every ticket is accepted, refused or given up."""
        for thread in self._threads:
            thread.join()

    def _probe_keys(self) -> None:
        """Learn, while all is well, whether a repeated key gives the first answer again."""
        ticket = Ticket(f"{self._seed}-probe", workload.STYLINGS[0])
        self.tickets.append(ticket)
        self._deadline = time.monotonic() + _TIMEOUT_SECONDS
        with self._client() as client:
            self._submit(client, ticket)
            self._submit(client, ticket)
        self.keys_heeded = len(set(ticket.job_ids)) == 1

    def _work(self, number: int, tickets: Sequence[Ticket], pause: float) -> None:
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311 - no secret
        with self._client() as client:
            for ticket in tickets:
                time.sleep(pause * chance.uniform(0.2, 1.0))
                self._submit(client, ticket)
                if self.keys_heeded and chance.random() < _REPEAT_SHARE:
                    self._submit(client, ticket)
                if chance.random() < _CANCEL_SHARE:
                    time.sleep(chance.uniform(0, 1.5))
                    self._cancel(client, ticket)

    def _submit(self, client: httpx.Client, ticket: Ticket) -> None:
        response = self._insist(
            client,
            "/v1/jobs",
            headers={"Idempotency-Key": f"chaos-{ticket.name}"},
            files={"content": workload.content(), "style": workload.style()},
            data={
                "params": json.dumps(ticket.params),
                "metadata": json.dumps({_FIELD: ticket.name}),
            },
        )
        if response is None:
            return
        if response.status_code in _ACCEPTED:
            ticket.job_ids.append(response.json()["id"])
        else:
            ticket.refused = f"{response.status_code} {response.text[:200]}"

    def _cancel(self, client: httpx.Client, ticket: Ticket) -> None:
        if ticket.job_ids:
            ticket.cancel_asked = True
            self._insist(client, f"/v1/jobs/{ticket.job_ids[0]}/cancel", final=(409,))

    def _insist(
        self, client: httpx.Client, path: str, *, final: tuple[int, ...] = (), **request: object
    ) -> httpx.Response | None:
        """Return the answer that no repetition would better; None when there was none in time."""
        while time.monotonic() < self._deadline:
            status = 0
            with suppress(httpx.TransportError):
                response = client.post(path, **request)
                status = response.status_code
            self.answers[status] += 1
            if status in final or (0 < status < 500 and status not in _AGAIN):
                return response
            time.sleep(_RETRY_SECONDS)
        return None

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=_TIMEOUT_SECONDS, trust_env=False)


def ticket_of(metadata: dict[str, str]) -> str:
    """Return the name of the ticket that a job was submitted for."""
    return metadata.get(_FIELD, "")
