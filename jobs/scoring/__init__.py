"""Scoring many rows: workers that hold the served file, and the Parquet files their answers go to."""
