"""Sweeps: many trials of one definition with fields replaced, proposed by a searcher, cut short by a scheduler."""
