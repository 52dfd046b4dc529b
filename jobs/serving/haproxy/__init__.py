"""HAProxy before the replicas: the environment that has it there, and the wrapper that closes what Ray leaves open."""
