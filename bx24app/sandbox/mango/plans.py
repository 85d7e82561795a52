"""What the people in a simulated call will do: plans, the behaviour of phones, and signals."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Party:
    """How a ringing phone behaves.

    It answers after `answer_after` seconds. With None it stops after `ring_for` seconds with `reason`.
    """

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
    """Something that happens to a call in progress, by a person or by a REST command.

    Kinds: `hangup` (the leg `call_id`, else the talk), `giveup` (the client), `answer` and `reject` (extension `to`),
    `route`, `blind`, `blind-handset`, `consult`, `hold`, `resume`.

    Attributes:
        after: in a plan, the seconds of talk (with all parties) after which it happens.
        to: the extension, group or number that it leads to.
        talk: of `consult`: seconds that the colleagues talk before it is completed.
        complete: of `consult`: False when the colleague declines and the first employee takes the client back.
        redirect: of `blind` to another product: the first entry ends at once, the second begins `gap` seconds later.
        party: how the phone of `to` behaves.
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
    """One call from beginning to end. All durations are in seconds.

    Attributes:
        client: the outside number; empty: anonymous.
        line: number of the line; empty: the first one.
        to: groups or extensions that ring one after the other until somebody answers; empty: where the line leads.
        ivr: length of the voice menu; 0: no menu.
        greeting_waits: the menu waits for the end of its greeting, so that `commands/route` is possible there.
        ivr_end: the call ends in the menu with this reason.
        patience: the caller gives up after ringing for this time; None: never.
        parties: extension or number -> behaviour of the phone; all others behave as `others`.
        unavailable: the reason with which a group's leg ends at once without ringing (1164).
        end_by: who hangs up: `client` or `employee`.
        record_delay: from the end of a recording to `record/added`; None: never sent.
        entry_result: what the summary claims, whether anybody talked or not (Mango's own value is not reliable).
        summary_last: the summary names who answered last instead of who answered first.
        speed: how many times faster than real time.
        start: epoch seconds of the beginning; None: chosen so that `clock` meets real time at the end.
    """

    client: str = "79161234567"
    line: str = ""
    to: list[str] = field(default_factory=list)
    ivr: float = 2.0
    greeting_waits: bool = True
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
        """The approximate length of the call."""
        return self.ivr + 10 + self.talk + (self.record_delay or 0)

    def party_for(self, *names: str) -> Party:
        """The behaviour of a phone that has several names."""
        return next((self.parties[name] for name in names if name in self.parties), self.others)
