"""Architecture search: which layout of a backbone's layers is best within limits on bytes, work and time."""
