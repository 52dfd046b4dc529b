"""Hands a definition to a cluster as a Ray job, and follows it: the address, the token, the package, the job itself."""
