"""Models as llama.cpp reads them: GGUF files of merged folders and of adapters, written tensor by tensor.

`families` has the facts of each architecture, `parameters` and `tokens` make a file's metadata, `tensors` its tensors,
`writing` the file; `exporting` is what exporters call. Importing this package imports neither torch nor numpy; its
modules do.
"""
