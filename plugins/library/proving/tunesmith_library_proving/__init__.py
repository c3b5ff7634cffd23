"""Whether what an export wrote is the model that was trained: the gate at the end of every export.

The artefact is loaded by the program that will serve it and compared with the model in memory, on the run's own
conversations. `gate` is what exporters use: they bring a `Reader` of their program and the `Limits` of their format.
Importing this package imports neither torch nor transformers; its modules do.
"""
