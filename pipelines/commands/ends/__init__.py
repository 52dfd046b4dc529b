"""How a command ends: at a signal, and what is said at the end of a run."""
