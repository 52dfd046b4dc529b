"""Whether a student is smaller than its teacher, told before either is built. Pure."""

from __future__ import annotations

from jobs.models.backbone import Backbone

IMAGE = (32, 32, 3)  # for what is counted, the size does not matter, and channels do to the first layer alone


def outgrown(student: Backbone, teacher: Backbone) -> str:
    """Say that `student` has no fewer weights than `teacher`; empty when it has, or when one of them must be built.

    Heads are left out: their classes are not known yet. Of a vocabulary that is learnt, the most it may hold counts.
    """
    learns, taught = student.counted(IMAGE), teacher.counted(IMAGE)
    if learns is None or taught is None or learns.parameters < taught.parameters:
        return ""
    found = f"the student has {learns.parameters:,} weights before its head, its teacher {taught.parameters:,}"
    return f"{found}: nothing becomes smaller by it"
