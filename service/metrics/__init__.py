"""Numbers for Prometheus: `numbers` counts, `exposition` writes them as text, and `listener` serves the text.

Each metric is defined at the top of the module that counts it. Nothing is counted until `numbers.start` is called.
"""
