"""Where work runs. Knows Ray; knows nothing of models, jobs or pipelines."""
