"""Files in forms that the LiteRT converter does not make."""
