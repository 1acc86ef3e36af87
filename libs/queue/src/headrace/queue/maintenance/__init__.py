"""Chores that every worker shares: promote due jobs, rescue dead workers' jobs, delete expired rows."""
