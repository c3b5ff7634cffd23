"""What plugins share that say what they cost: weights from `config.json`, fewer bits, activations, optimizer states.

Nothing in this package imports torch.
"""
