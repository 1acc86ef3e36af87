"""Tasks that all workers share: promote due jobs, rescue the jobs of dead workers, delete expired rows."""
