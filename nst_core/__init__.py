"""The engine library: neural style transfer, and nothing about jobs, queues or the web.

Its torch-free half (`params`, `images`, `schedule`, `layers`, `estimate`, `errors`) is what every
process imports; `engine`, `vgg`, `weights` and what they need are for machines that compute.
"""
