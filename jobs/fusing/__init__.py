"""Making one model of several: averaged answers, votes, averaged weights."""
