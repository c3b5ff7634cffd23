"""What quantizers share that look at training data and pack their weights: a new one is the rounding and little else.

`calibrated` has the hooks, `calibration` what the layers see, `grid` the numbers, `linear` and `packing` the packed
layer, `checkpoint` and `loading` the files in the layouts of GPTQ and AWQ; `gptq` and `awq` are the two algorithms,
for quantizers and exporters, made of `solver`, `search` and `folding`. Importing this package and `calibrated` imports
no torch.
"""
