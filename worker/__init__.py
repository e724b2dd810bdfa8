"""The worker process: claims jobs, runs the engine, stores what comes of it. Knows no HTTP."""
