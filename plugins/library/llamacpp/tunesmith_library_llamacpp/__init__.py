"""GGUF files in llama.cpp: run, compared with what was trained, and quantised, through llama-cpp-python.

Importing this package imports nothing heavy, and no llama.cpp; its modules do, or say how it is installed.
"""
