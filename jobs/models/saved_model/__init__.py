"""SavedModels of others, run with TensorFlow: fetching, looking them over, calling them, and exporting our own."""
