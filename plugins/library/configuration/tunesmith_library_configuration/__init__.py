"""From YAML and overrides to checked options: every value with its origin, every mistake with its place."""
