"""Turns lists of metrics, which each package declares of its own, into files for Prometheus and Grafana."""
