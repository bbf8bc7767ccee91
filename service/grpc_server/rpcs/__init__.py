"""One file a use case, of the same name as in `domain`: reads the request, runs the use case and writes the answer."""
