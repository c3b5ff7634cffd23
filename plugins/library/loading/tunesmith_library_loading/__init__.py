"""What model plugins share: `processors` loads tokenizers, `precision` says in which numbers this machine computes.

Importing this package imports neither torch nor transformers; its modules do.
"""
