"""Reward models that are loaded, and what they make of conversations and texts (arXiv 2203.02155, section 3.5).

Importing this package imports neither torch nor transformers; its modules do.
"""
