"""Taking over another page: what it said, when it said it, and nothing more. Nobody is told of it.

`sources` fetches bytes; a reader for each format makes a `shape.Page` of them; `plan` says what would become of each
record; `write` does it. Readers are pure: no clock, no database.
"""
