"""Between the wire and the engine: reads requests and writes responses, with one module for each type of message."""
