"""The API process: HTTP in and out, the client and the command line. Never imports torch."""
