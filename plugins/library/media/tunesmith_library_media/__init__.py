"""Images, videos and sounds: from the items of a row to the tokens and tensors that a model reads.

Importing this package imports neither torch nor transformers; some of its modules do.
"""
