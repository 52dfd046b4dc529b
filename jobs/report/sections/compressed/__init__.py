"""Sections about what became of models: fused, compressed, within a budget or not, and what each class lost by it."""

from jobs.report.sections.compressed.budget import budget as budget
from jobs.report.sections.compressed.layers import layers as layers
from jobs.report.sections.compressed.losses import losses as losses
from jobs.report.sections.compressed.members import members as members
