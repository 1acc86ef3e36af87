"""The engine's commands of `headrace`, one module per command. Entry points of `headrace.commands` name them."""
