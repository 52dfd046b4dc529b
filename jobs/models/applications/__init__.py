"""Backbones of `tf_keras.applications`, rebuilt layer by layer with stable names and seeded initial weights."""
