"""What adapter plugins share that train few weights beside a model's layers, with peft.

`targets` says which layers get an adapter, `adapters` puts it there, loads it and readies it for training, `merging`
folds it into the weights. Importing this package imports neither torch nor peft; its modules do.
"""
