"""What a run did not change survives: every tensor of the base model, its class, and the files beside its weights.

A run loads of a model what it trains: the text part of one that also reads images, no head that predicts several tokens
at once. What it saves is the model as it was published all the same, and other programs load it as they load the base.

`inventory` reads what a folder holds; `weights`, `configs` and `files` write the parts of a result, `whole` all of
them; `naming` and `adapters` give an adapter the names of the published class. Importing this package imports neither
torch nor transformers; its modules do.
"""
