"""Whether clocks agree: object stores refuse requests that are minutes off, and leases are judged by their beats."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen

NOTED, HARMFUL = 2.0, 60.0  # seconds; requests to S3 are refused from 15 min on, leases lapse after less
REMEDY = "have the machine keep time by NTP: timedatectl set-ntp true"


class Clock(Check):
    """A node's clock against the driver's."""

    name = "clock"

    def look(self) -> None:
        """Look at nothing: the times at which nodes look are told with every look."""

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge the offset as NTP computes it; what the way there and back may hide is allowed for."""
        if seen.here:
            return
        offset = ((seen.began - seen.asked) + (seen.ended - seen.answered)) / 2
        unsure = max(0.0, ((seen.answered - seen.asked) - (seen.ended - seen.began)) / 2)
        text = f"{abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the driver's, ± {unsure:.1f} s"
        if abs(offset) - unsure > HARMFUL:
            yield self.error(seen, text, REMEDY)
        elif abs(offset) - unsure > NOTED:
            yield self.warning(seen, text, REMEDY)
        else:
            yield self.ok(seen, "agrees with the driver's")
