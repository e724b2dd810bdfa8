"""The `nst` commands of the API package, a module for each kind of user."""
