"""What optimizer plugins share.

`checks` says what they do not go with, free of torch; `groups` divides the weights of a model, `per_weight` updates
them one after the other, also inside the backward pass.
"""
