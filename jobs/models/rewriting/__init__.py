"""Models some of whose layers are other than their spec says: rebuilt from the facts that compression left."""
