"""What a replica does with a request: the guard, the protocols, the documents."""
