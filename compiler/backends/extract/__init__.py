"""Reads the options of the pinned packages out of their wheels, without importing them, into `templates/backends/*/options/`.

    python -m compiler.backends.extract                            all backends, from what is installed
    python -m compiler.backends.extract vllm --wheel FILE.whl      one of them, from a wheel

What to read stands in each backend's `options.yaml`, with what the packages leave untyped and Lethe therefore says itself.
"""
