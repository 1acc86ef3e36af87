"""Between the wire and the engine: requests into its values, its values into responses, a module for each thing."""
