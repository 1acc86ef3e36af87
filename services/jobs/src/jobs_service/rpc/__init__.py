"""The methods of JobsService, a module for each thing that they are about."""
