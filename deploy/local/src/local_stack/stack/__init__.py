"""The system's processes: started, watched and stopped."""
