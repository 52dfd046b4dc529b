"""Sections about models that were made of other models."""

from jobs.report.sections.fusing.members import members as members
