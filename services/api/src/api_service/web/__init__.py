"""The HTTP listener: pages behind mail links, probes, and the doors that other rooms hang in."""
