"""What the people in a simulated call are going to do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Party:
    """How a ringing telephone behaves. It answers after `answer_after` seconds, or (None) ends after `ring_for` with `reason`."""

    answer_after: float | None = 3.0
    ring_for: float = 25.0
    reason: int = 1111


OFFLINE = Party(None, 0.0, 1131)
BUSY = Party(None, 1.0, 1121)
REJECTS = Party(None, 3.0, 1122)
NO_ANSWER = Party(None)
ANSWERS = Party()


@dataclass
class Signal:
    """Something that happens to a running call: by a person, or by a command of the REST side.

    Kinds: `hangup` (the leg `call_id`, else the talk), `giveup` (the outside party), `answer` and `reject` (extension
    `to`), `route`, `blind`, `blind-handset`, `consult`, `hold`, `resume`.

    Attributes:
        after: in a plan, seconds of talk (all parties together) after which it happens.
        talk: of `consult`: seconds that the colleagues talk before it is completed.
        complete: of `consult`: False = the colleague declines, the first employee takes the client back.
        redirect: of `blind` to another product: the first entry ends at once, the second begins `gap` seconds later.
    """

    kind: str
    after: float = 0.0
    to: str = ""
    call_id: str = ""
    command_id: str = ""
    talk: float = 5.0
    complete: bool = True
    redirect: bool = False
    gap: float = 2.0
    party: Party | None = None


@dataclass
class Plan:
    """One call from beginning to end; every duration in seconds.

    Attributes:
        client: the outside number; empty: anonymous.
        line: number of the line; empty: the first.
        to: groups or extensions that ring, one after the other until somebody answers; empty: where the line leads.
        ivr: length of the voice menu, 0 without one; `ivr_end`: the call ends there with this reason.
        patience: the caller gives up after so much ringing; None waits for ever.
        parties: extension or number -> behaviour; who is not named uses `others`.
        unavailable: reason with which a group leg ends at once although nobody rings (1164).
        end_by: `client` or `employee`.
        record_delay: from the end of a tape to `record/added`; None: never.
        entry_result: what the summary claims, whether anybody talked or not (Mango's own is not to be trusted).
        summary_last: the summary names who answered last instead of first.
    """

    client: str = "79161234567"
    line: str = ""
    to: list[str] = field(default_factory=list)
    ivr: float = 2.0
    ivr_end: int = 0
    patience: float | None = None
    parties: dict[str, Party] = field(default_factory=dict)
    others: Party = field(default_factory=Party)
    unavailable: int = 0
    talk: float = 12.0
    end_by: str = "client"
    signals: list[Signal] = field(default_factory=list)
    record_delay: float | None = 5.0
    summary_last: bool = False
    entry_result: int | None = None
    speed: float = 1.0
    start: float | None = None

    @property
    def expected_seconds(self) -> float:
        """About how long it will take."""
        return self.ivr + 10 + self.talk + (self.record_delay or 0)

    def party_for(self, *names: str) -> Party:
        """The behaviour of somebody known under several names."""
        return next((self.parties[name] for name in names if name in self.parties), self.others)
