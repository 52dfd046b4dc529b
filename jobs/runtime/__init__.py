"""The served file's runner and its measurement: no TensorFlow, the same code in evaluation and in a replica."""
