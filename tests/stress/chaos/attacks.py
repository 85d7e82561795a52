"""Attack rows of `make chaos`: calls of a whole day are sent one by one while strangers attack the web part.

A row holds the ordinary verdict over the portal (nothing lost or doubled), how long acknowledgements took, and the
memory of the web part. A notification is sent once: whatever is not acknowledged is lost.

    Attack("unfinished bodies", unfinished_bodies)      an entry of `ATTACKS`
    run_attack(stack, attack, proxy)                    the row
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from bx24app.mango import vpbx
from tests.end_to_end.test_random_calls import KEYS
from tests.stress.chaos import strangers, waiting_attacks
from tests.stress.chaos.attackers import attackers
from tests.stress.chaos.calls import day_of
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.run import _finish, _ready
from tests.stress.chaos.timed_sending import Timed, send_timed
from tests.stress.chaos.verdict import Row
from tests.stress.chaos.web_part import WebPart, web_part
from tests.support.random_calls import Day

P99_MILLISECONDS, MEGABYTES = 100.0, 400.0
HEAD = "| attack | proxy | notifications | lost or wrong | p50 ms | p99 ms | longest ms | web part MB |"

Act = Callable[[ChaosStack, WebPart], AbstractContextManager[None]]
"""Inside the `with` block the attack is under way."""


@dataclass(frozen=True)
class Attack:
    """One attack. `variables`: further BX24APP_ variables of the web part."""

    name: str
    act: Act
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class AttackRow:
    """The result of one attack behind one proxy."""

    name: str
    proxy: str
    timed: Timed
    megabytes: float
    verdict: Row

    @property
    def wrong(self) -> int:
        return sum(self.verdict.wrong.values())

    @property
    def good(self) -> bool:
        return not self.wrong and self.timed.quantile(0.99) * 1000 < P99_MILLISECONDS and self.megabytes < MEGABYTES

    def __str__(self) -> str:
        times = (f"{self.timed.quantile(share) * 1000:.0f}" for share in (0.5, 0.99, 1))
        cells = [self.name, self.proxy, len(self.timed.statuses), self.wrong, *times, f"{self.megabytes:.0f}"]
        return "| " + " | ".join(map(str, cells)) + " |"


def run_attack(
    stack: ChaosStack, attack: Attack, proxy: str = "none", calls: int = 30, patience: float = 120
) -> AttackRow:
    """Send the notifications of `calls` calls through the proxy while the attack is under way, and judge."""
    day = day_of(calls)
    row, hooks, before, predicted = _ready(stack, attack.name, day)
    with ExitStack() as cleanup:
        environ = stack.environment("old") | attack.variables
        web = cleanup.enter_context(web_part(environ, stack.folder, proxy))
        cleanup.enter_context(attack.act(stack, web))
        timed = send_timed(web.port, _posts(day, hooks))
        megabytes = web.peak_megabytes()
    refused = [status for status in timed.statuses if status != 200]
    if refused:
        row.wrong["lost"] += len(refused)
        row.details.append(f"{attack.name} ({proxy}): answered {refused[:20]}")
    else:
        _finish(stack, row, (day, predicted, before), patience)
    stack.settle(patience)
    return AttackRow(attack.name, proxy, timed, megabytes, row)


def _posts(day: Day, hooks: dict[str, str]) -> list[tuple[str, str]]:
    """(path, body) of all notifications of the day, signed as each PBX does."""
    posts = []
    for call in day.calls:
        key, salt = KEYS[call.scene.office.key]
        path = urlsplit(hooks[call.scene.office.key]).path
        for name, content in call.arrivals:
            raw = json.dumps(content)
            form = {"vpbx_api_key": key, "json": raw, "sign": vpbx.sign_text(key, salt, raw)}
            posts.append((f"{path}/{name}", urlencode(form)))
    return posts


@contextmanager
def nobody(_stack: ChaosStack, _web: WebPart) -> Iterator[None]:
    """The control."""
    yield


@contextmanager
def unfinished_bodies(_stack: ChaosStack, web: WebPart) -> Iterator[None]:
    """128 bodies that never end, at a hook address that nobody knows and at the page that portals open."""
    with (
        attackers(strangers.leave_body_unfinished, 64, web.port, "/mango/nobody/events/call"),
        attackers(strangers.leave_body_unfinished, 64, web.port, "/"),
    ):
        yield


@contextmanager
def forms_of_fields(_stack: ChaosStack, web: WebPart) -> Iterator[None]:
    """Sixteen strangers send one form of 4 MiB after the other."""
    with attackers(strangers.send_form_of_fields, 16, web.port, "/"):
        yield


ATTACKS: tuple[Attack, ...] = (
    Attack("none (control)", nobody),
    Attack("unfinished bodies", unfinished_bodies),
    Attack("forms of 4 MiB", forms_of_fields),
    Attack("paused players", waiting_attacks.paused_players),
    Attack("slow strangers", waiting_attacks.slow_strangers),
    Attack("tabs of a portal that hangs", waiting_attacks.hanging_tabs),
)
