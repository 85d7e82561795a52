"""Further faults, in the form of `faults.FAULTS`: Mango's recordings, other tenants, the app's own machines, poison."""

from __future__ import annotations

from tests.stress.chaos import (
    machine_faults,
    mango_faults,
    migrating,
    neighbours,
    outages,
    poisoned,
    poisoned_tenants,
    released,
    rotation,
    small_disk,
)
from tests.stress.chaos.faults import LOCKED_KEY_AIM_SECONDS, Fault

MORE = (
    Fault("Mango: recordings come late", mango_faults.late, aim=LOCKED_KEY_AIM_SECONDS),
    Fault("Mango: a recording's one-shot link is used up", mango_faults.link_used_up),
    Fault("Mango: recordings break off", mango_faults.broken_off),
    Fault("disk full for the spool, then free", machine_faults.disk_full),
    Fault("slow tenant: another portal is right after 20 s", neighbours.slow, neighbours.move_in),
    Fault("hanging tenant: another portal never answers", neighbours.hanging, neighbours.move_in),
    Fault("secret that no key opens, and poisoned answers, of other tenants", poisoned_tenants.unreadable),
    Fault("clock two hours ahead, ten minutes behind, right again", machine_faults.clock_jumps),
    Fault("host frozen for a minute with requests in hand", outages.host_frozen, outages.start_other_host),
    Fault("both workers killed at once, three times", outages.workers_killed_at_once, outages.start_second_worker),
    Fault("Valkey out of memory, nothing evicted", outages.valkey_out_of_memory),
    Fault("PostgreSQL away for 30 s", outages.postgres_away),
    Fault("disk full for the database", small_disk.database_full, small_disk.prepare),
    Fault("killed during keys rotate, three times", rotation.killed_while_rotating, rotation.give_new_key),
    Fault("migration killed before each statement", migrating.killed_while_migrating, migrating.prepare),
    Fault("poisoned notification", poisoned.poisoned_notifications),
    Fault("poisoned portal answer", poisoned.poisoned_answers),
    Fault(
        "rolling upgrade with a migration, old and new code side by side",
        machine_faults.rolling_upgrade,
        machine_faults.load_new,
    ),
    Fault(
        f"rolling upgrade from the released edition ({released.RELEASE}), both side by side",
        released.roll_over,
        released.load,
        aim=released.AIM_SECONDS,
    ),
)
