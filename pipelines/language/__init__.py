"""How definitions are read and how mistakes in them are told: strict YAML, the words of errors, their places."""
