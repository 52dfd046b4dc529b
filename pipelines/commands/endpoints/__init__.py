"""The commands about served models, one file each."""
