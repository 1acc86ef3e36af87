"""Job kinds: their options, their payloads' codecs, and checks of changes between releases."""
