"""What exporters share that write a trained model in few bits: layers, calibration, files, and the proof.

`exporting` has the hooks, `steps` the way from a trained model to a proven folder, `methods` what a format brings.
Importing this package and `exporting` imports neither torch nor transformers.
"""
