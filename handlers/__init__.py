"""The handlers that come with the receiver. Each is a model to copy: it needs nothing but `from receiver import …`."""
