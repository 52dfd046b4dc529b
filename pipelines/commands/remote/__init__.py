"""Commands about a cluster elsewhere: hand it a definition, look after its jobs, examine it."""
