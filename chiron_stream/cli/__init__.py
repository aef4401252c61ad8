"""The command ``chiron``: one module a noun, loaded when it is called for."""
