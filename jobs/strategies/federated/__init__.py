"""Federated averaging: clients train on rows only they open, a coordinator averages what they learnt."""
