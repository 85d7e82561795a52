"""Recordings of 200 MB from Mango's cloud to the portal, against `curl` to a file and `curl` from it.

The baseline sends the same requests as we do, with `curl`: for the file to Mango, for an upload address to the portal.
Disk and sandboxes are the same. Our clock runs from the wake-up of the job to the row with the state attached, so
queue, claim and commits count against us.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.backlog import workers
from benchmarks.left import finished, leave
from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, rig, until
from bx24app.infra.queue import wake_recordings
from bx24app.mango import vpbx
from bx24app.models import Recording, db
from tests.conftest import KEY, SALT
from tests.support.servers import valkey

SIZE = 200_000_000
SHARE = 0.8
GROWTH_MB = 16


def peak(pid: int) -> float:
    """The largest memory of a process since `forget_peak`, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"/proc/{pid}/status names no VmHWM")
    return int(match[1]) * 1024 / 1e6


def forget_peak(pid: int) -> None:
    """Resets the peak to the current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def carried(made: Rig, size: int) -> float:
    """Seconds from the wake-up of the job to the row with the state attached."""
    [row] = leave(made, 0, 1, size)

    def attached() -> bool:
        with made.app.app_context():
            state = db.session.get_one(Recording, row).state
            db.session.remove()
        if state == "lost":
            raise RuntimeError("the recording was lost")
        return state == "attached"

    began = time.monotonic()
    with made.app.app_context():
        wake_recordings(db.session.get_one(Recording, row).portal_id)
    until(attached, "a recording was never attached", 300, 0.01)
    return time.monotonic() - began


def by_curl(made: Rig, size: int, place: Path) -> float:
    """Seconds of four `curl`s in sequence: Mango's answer, its file, the portal's address, the upload."""
    [call] = finished(made, 0, 1)
    made.cloud.ask("stored", [f"left{call}"], size)
    base, token = made.cloud.ask("grant", 0)
    raw = json.dumps({"recording_id": f"left{call}", "action": "download"})
    fields = {"vpbx_api_key": KEY, "sign": vpbx.sign_text(KEY, SALT, raw), "json": raw}
    ask = [word for name, value in fields.items() for word in ("--data-urlencode", f"{name}={value}")]
    file = place / "recording.mp3"
    mango = made.cloud.ask("addresses")["mango"]
    began = time.monotonic()
    link = curl(*ask, "-w", "%{redirect_url}", f"{mango.rstrip('/')}/queries/recording/post")
    curl("-o", str(file), link)
    attach = {"CALL_ID": call, "FILENAME": f"{call}.mp3", "auth": token}
    where = curl("--json", json.dumps(attach), f"{base}telephony.externalCall.attachRecord.json")
    curl("-F", f"file=@{file};filename={call}.mp3;type=audio/mpeg", json.loads(where)["result"]["uploadUrl"])
    taken = time.monotonic() - began
    if file.stat().st_size != size:
        raise RuntimeError(f"curl fetched {file.stat().st_size} of {size} bytes")
    file.unlink()
    return taken


def curl(*words: str) -> str:
    """The output of `curl`.

    Raises:
        RuntimeError: it failed; with its own message.
    """
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", *words], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"curl ended with {done.returncode}: {done.stderr.strip()} {done.stdout[:300]}")
    return done.stdout


def _run(quick: bool) -> list[Figure]:
    turns = 2 if quick else 5
    ours: list[float] = []
    theirs: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        valkey(Path(folder)) as url,
        rig(REDIS_URL=url, WORKERS="1") as made,
    ):
        carried(made, SIZE // 100)  # warm
        by_curl(made, SIZE // 100, Path(folder))
        [worker] = [pid for pid in workers(made) if peak(pid)][-1:]
        forget_peak(worker)
        before = peak(worker)
        for _ in range(turns):
            ours.append(carried(made, SIZE))
            theirs.append(by_curl(made, SIZE, Path(folder)))
        grown = peak(worker) - before
    pairs = sorted(zip(ours, theirs, strict=True), key=lambda pair: pair[1] / pair[0])
    mine, base = (SIZE / 1e6 / seconds for seconds in pairs[len(pairs) // 2])
    note = f"{turns} of {SIZE / 1e6:.0f} MB, in turns with the baseline"
    return [
        Figure("large recordings", mine, "MB/s", f"at least {SHARE} of it", mine >= SHARE * base, base, note),
        Figure(
            "large recordings, growth of the worker",
            grown,
            "MB",
            f"under {GROWTH_MB} MB",
            grown < GROWTH_MB,
            note="at its largest",
        ),
    ]


MEASURES = (Measure("large", "recordings of 200 MB", _run, 6),)
