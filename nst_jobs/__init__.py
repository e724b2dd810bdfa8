"""The job library: what the API and the worker share. Knows no Flask and no torch."""
