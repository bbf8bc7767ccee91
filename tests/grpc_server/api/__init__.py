"""The whole API through a real server and client: CONTRACT.md, rpc by rpc."""
