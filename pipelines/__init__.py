"""What to do, in which order: definitions, their graph, and the running of it. Imports jobs and cluster."""
