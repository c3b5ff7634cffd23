"""The keys that are not ours under another name: one small function each, called by `keys.toml`.

Each takes the key, its value and the draft, in which it puts what it makes of it.
"""
