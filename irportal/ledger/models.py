"""The append-only record of every deed.

Rows refuse UPDATE and DELETE on both databases (see the migration).
"""

from django.db import models


class Entry(models.Model):
    """One deed.

    `line` is the canonical JSON exactly as it was hashed; the other columns only help to find it.
    """

    n = models.BigIntegerField(primary_key=True, help_text="Gap-free, from 0")
    recorded_at = models.DateTimeField(db_index=True)
    deed = models.CharField(max_length=60, db_index=True)
    subject = models.CharField(max_length=60, db_index=True)
    line = models.TextField()
    leaf = models.CharField(max_length=64, help_text="SHA-256(0x00 || line), RFC 6962")

    class Meta:
        ordering = ["n"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.n} {self.deed} {self.subject}"


class Checkpoint(models.Model):
    """The Merkle root over the first `size` entries.

    Handed out in every report, so that history cannot be rewritten.
    """

    size = models.BigIntegerField(primary_key=True)
    root = models.CharField(max_length=64)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["size"]

    def __str__(self) -> str:
        return f"{self.size}:{self.root}"
